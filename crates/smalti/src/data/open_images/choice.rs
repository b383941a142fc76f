//! Which categories of Open Images are used: the authors' choice, the most frequent ones and those that COCO has too
//! (`taming/data/open_images_helper.py`).

use std::collections::{HashMap, HashSet};

/// The names of the categories that are used, with a comma between them.
const NAMES: &str = "\
    Aircraft, Airplane, Alarm clock, Animal, Antelope, Apple, Auto part, Backpack, Bagel, Baked goods, Ball, \
    Balloon, Banana, Barrel, Baseball bat, Baseball glove, Bathroom accessory, Bear, Bed, Bee, Beer, Beetle, Bench, \
    Bicycle, Bicycle helmet, Bicycle wheel, Billboard, Bird, Boat, Book, Bookcase, Boot, Bottle, Bowl, Box, Boy, \
    Brassiere, Bread, Broccoli, Bronze sculpture, Building, Bull, Bus, Bust, Butterfly, Cabinetry, Cake, Camel, \
    Camera, Candle, Candy, Cannon, Canoe, Car, Carnivore, Carrot, Cart, Castle, Cat, Cattle, Cello, Chair, Cheese, \
    Chest of drawers, Chicken, Christmas tree, Clock, Clothing, Coat, Cocktail, Coffee, Coffee cup, Coffee table, \
    Coin, Common sunflower, Computer keyboard, Computer monitor, Computer mouse, Convenience store, Cookie, \
    Cosmetics, Couch, Countertop, Cowboy hat, Crab, Crocodile, Cucumber, Cupboard, Curtain, Dairy Product, Deer, \
    Desk, Dessert, Dinosaur, Dog, Doll, Dolphin, Door, Doughnut, Dragonfly, Drawer, Dress, Drink, Drum, Duck, \
    Eagle, Earrings, Egg (Food), Elephant, Falcon, Fashion accessory, Fast food, Fedora, Fire hydrant, Fish, Flag, \
    Flower, Flowerpot, Flying disc, Food, Football, Football helmet, Footwear, Fork, Fountain, French fries, \
    French horn, Frog, Fruit, Furniture, Giraffe, Girl, Glasses, Goat, Goggles, Goldfish, Gondola, Goose, Grape, \
    Grapefruit, Guitar, Hair dryer, Hamburger, Handbag, Harbor seal, Hat, Headphones, Helicopter, Helmet, \
    High heels, Hiking equipment, Home appliance, Horse, Hot dog, House, Houseplant, Human arm, Human beard, \
    Human body, Human ear, Human eye, Human face, Human foot, Human hair, Human hand, Human head, Human leg, \
    Human mouth, Human nose, Ice cream, Insect, Invertebrate, Jacket, Jeans, Jellyfish, Juice, \
    Kitchen & dining room table, Kitchen appliance, Kitchen knife, Kite, Knife, Ladybug, Lamp, Land vehicle, \
    Lantern, Laptop, Lavender (Plant), Lemon, Lighthouse, Lily, Lion, Lizard, Luggage and bags, Man, Maple, \
    Marine invertebrates, Marine mammal, Medical equipment, Microphone, Microwave oven, Mirror, Mobile phone, \
    Monkey, Moths and butterflies, Motorcycle, Muffin, Mug, Mule, Mushroom, Musical instrument, Musical keyboard, \
    Necklace, Office building, Office supplies, Orange, Ostrich, Oven, Owl, Oyster, Paddle, Palm tree, Panda, \
    Parachute, Parking meter, Parrot, Pastry, Pear, Pen, Penguin, Person, Personal flotation device, Piano, \
    Picture frame, Pig, Pillow, Pizza, Plant, Plate, Platter, Polar bear, Porch, Poster, Pumpkin, Rabbit, \
    Refrigerator, Remote control, Rifle, Roller skates, Rose, Salad, Sandal, Sandwich, Saucer, Saxophone, Scarf, \
    Scissors, Sculpture, Sea lion, Sea turtle, Seafood, Shark, Sheep, Shelf, Shellfish, Shirt, Shorts, Shrimp, \
    Sink, Skateboard, Ski, Skirt, Skull, Skyscraper, Snack, Snail, Snake, Snowboard, Sock, Sofa bed, Sparrow, \
    Spider, Spoon, Sports equipment, Sports uniform, Squirrel, Stairs, Stool, Stop sign, Strawberry, Street light, \
    Studio couch, Submarine sandwich, Suit, Suitcase, Sun hat, Sunglasses, Surfboard, Sushi, Swan, Swimming pool, \
    Swimwear, Table, Tableware, Tank, Taxi, Tea, Teddy bear, Television, Tennis ball, Tennis racket, Tent, Tie, \
    Tiger, Tin can, Tire, Toaster, Toilet, Tomato, Tool, Toothbrush, Tortoise, Tower, Toy, Traffic light, \
    Traffic sign, Train, Tree, Tripod, Trousers, Truck, Trumpet, Umbrella, Van, Vase, Vegetable, Vehicle, \
    Vehicle registration plate, Violin, Wall clock, Waste container, Watch, Watercraft, Weapon, Wheel, Wheelchair, \
    Whiteboard, Window, Wine, Wine glass, Woman, Zebra, Zucchini";

/// Categories that count as another one, by id: women, men, girls and boys as persons, and so on.
const MERGED: [(&str, &str); 12] = [
    ("/m/03bt1vf", "/m/01g317"),
    ("/m/04yx4", "/m/01g317"),
    ("/m/05r655", "/m/01g317"),
    ("/m/01bl7v", "/m/01g317"),
    ("/m/0cnyhnx", "/m/01xq0k1"),
    ("/m/01226z", "/m/018xm"),
    ("/m/05ctyq", "/m/018xm"),
    ("/m/058qzx", "/m/04ctx"),
    ("/m/06pcq", "/m/0l515"),
    ("/m/03m3pdh", "/m/02crq1"),
    ("/m/046dlr", "/m/01x3z"),
    ("/m/0h8mzrc", "/m/01x3z"),
];

/// Which categories are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CategoryChoice {
    /// The names of those that are used; `None` for all.
    pub allowed: Option<HashSet<String>>,
    /// The ids of those that count as another one, and that one's id.
    pub merged: HashMap<String, String>,
}

impl CategoryChoice {
    /// Every category for itself.
    pub fn all() -> Self {
        Self {
            allowed: None,
            merged: HashMap::new(),
        }
    }

    /// The authors' choice: 352 names, of which 12 count as others, which leaves 340 categories.
    pub fn published() -> Self {
        let merged = MERGED
            .iter()
            .map(|&(from, to)| (from.to_string(), to.to_string()));
        Self {
            allowed: Some(NAMES.split(", ").map(str::to_string).collect()),
            merged: merged.collect(),
        }
    }

    /// Whether a category is one of the numbered ones.
    pub(super) fn has(&self, id: &str, name: &str) -> bool {
        let allowed = self
            .allowed
            .as_ref()
            .is_none_or(|allowed| allowed.contains(name));
        allowed && !self.merged.contains_key(id)
    }

    /// The id of the category that one counts as.
    pub(super) fn counted_as<'a>(&'a self, id: &'a str) -> &'a str {
        self.merged.get(id).map_or(id, String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_choice_is_complete() {
        let choice = CategoryChoice::published();
        let allowed = choice.allowed.as_ref().unwrap();
        assert_eq!((allowed.len(), choice.merged.len()), (352, 12));
        assert!(
            allowed
                .iter()
                .all(|name| !name.is_empty() && name.trim() == name)
        );
        for name in ["Antelope", "Kitchen & dining room table", "Zucchini"] {
            assert!(allowed.contains(name), "{name}");
        }
    }

    #[test]
    fn merged_categories_have_no_number() {
        let choice = CategoryChoice::published();
        assert!(choice.has("/m/01g317", "Person"));
        assert!(!choice.has("/m/04yx4", "Man"));
        assert!(!choice.has("/m/011q46kg", "Container"));
        assert_eq!(choice.counted_as("/m/04yx4"), "/m/01g317");
        assert_eq!(choice.counted_as("/m/01g317"), "/m/01g317");
        let all = CategoryChoice::all();
        assert!(all.has("/m/04yx4", "Man") && all.has("x", "anything"));
        assert_eq!(all.counted_as("/m/04yx4"), "/m/04yx4");
    }
}
