//! The authors' transformers over a tokenizer (repository CompVis/taming-transformers:
//! taming/models/cond_transformer.py), with every condition and order of codes that their configurations can name.

use super::{Plan, taming, yaml};
use crate::checkpoint::{HostTensor, TensorMap};
use crate::data::DepthForm;
use crate::error::{Error, Result};
use crate::prior::condition::layout::Places;
use crate::prior::condition::{
    ClassCondition, CodesOfPicture, Condition, CoordCondition, DepthCondition, EdgesCondition,
    LayoutCondition, LowresCondition, PoseCondition, SegmentationCondition, StartToken,
};
use crate::prior::{Architecture, PriorConfig, ScanOrder};
use crate::tokenizer::TokenizerConfig;
use serde_json::Value;

/// What stands before the names of the condition's tokenizer.
const CONDITION: &str = "cond_stage_model.";

pub fn detect(tensors: &TensorMap) -> bool {
    tensors.contains_key("transformer.tok_emb.weight")
}

/// The transformer, its first stage and that of its condition. `config` is the whole YAML.
///
/// # Errors
/// No YAML: the weights do not tell the number of heads, nor what the condition was.
pub fn plan(tensors: TensorMap, config: Option<&Value>) -> Result<Plan> {
    let Some(config) = config else {
        return Err(Error::input(
            "this is a transformer over a tokenizer, whose weights tell neither the number of heads nor the condition: \
             name the YAML that belongs to it with --config",
        ));
    };
    let params = yaml::params(yaml::field(config, "model")?)?;
    let (prior, rest) = part(tensors, "transformer.");
    let (condition, rest) = part(rest, CONDITION);
    let (permuter, rest) = part(rest, "permuter.");
    let first_stage = yaml::field(params, "first_stage_config")?;
    let (tokenizer, own) = taming::tokenizer(rest, Some(first_stage))?;
    let (stage, condition) = stage(config, params, condition)?;
    let shape = prior_config(params, stage, &tokenizer)?;
    check_order(&permuter, &shape)?;
    let mut plan = Plan::tokenizer(tokenizer, own);
    plan.prior = Some(shape);
    let named = |prefix: &'static str| {
        move |(key, tensor): (String, HostTensor)| (format!("{prefix}{key}"), tensor)
    };
    let weights = prior
        .into_iter()
        .filter(|(key, _)| !key.ends_with(".attn.mask"));
    plan.tensors.extend(weights.map(named("transformer.")));
    plan.tensors
        .extend(condition.into_iter().map(named("condition.")));
    Ok(plan)
}

/// The tensors whose names begin so, without that, and the others.
fn part(tensors: TensorMap, prefix: &str) -> (TensorMap, TensorMap) {
    let (own, others): (TensorMap, TensorMap) = tensors
        .into_iter()
        .partition(|(key, _)| key.starts_with(prefix));
    let short = |(key, tensor): (String, HostTensor)| (key[prefix.len()..].to_string(), tensor);
    (own.into_iter().map(short).collect(), others)
}

fn prior_config(params: &Value, stage: Stage, tokenizer: &TokenizerConfig) -> Result<PriorConfig> {
    let transformer = yaml::params(yaml::field(params, "transformer_config")?)?;
    let block_size = yaml::number(transformer, "block_size")?;
    let (order, grid) = order(params)?;
    let [rows, columns] = match grid {
        Some(grid) => grid,
        None => square(&stage, tokenizer, block_size),
    };
    if rows != columns && !matches!(stage, Stage::Fixed(_)) {
        return Err(Error::input(format!(
            "the order of codes is that of {rows} × {columns}; with this condition only square pictures can be imported"
        )));
    }
    let dropout = |name: &str| yaml::optional_float(transformer, name, 0.0);
    let config = PriorConfig {
        network: Architecture::Gpt,
        layers: yaml::optional_number(transformer, "n_layer", 12)?,
        heads: yaml::optional_number(transformer, "n_head", 8)?,
        width: yaml::optional_number(transformer, "n_embd", 256)?,
        rows,
        columns,
        block_size,
        vocabulary_size: yaml::number(transformer, "vocab_size")?,
        embedding_dropout: dropout("embd_pdrop"),
        residual_dropout: dropout("resid_pdrop"),
        attention_dropout: dropout("attn_pdrop"),
        unmasked_prefix: yaml::optional_number(transformer, "n_unmasked", 0)?,
        condition: stage.condition(rows.saturating_mul(tokenizer.factor()))?,
        order,
        nothing_token: None,
    };
    config.check()?;
    Ok(config)
}

/// The authors never store the grid; their models are trained on square pictures of the nominal resolution, or on as
/// many codes as the longest sequence has room for.
fn square(stage: &Stage, tokenizer: &TokenizerConfig, block_size: usize) -> [usize; 2] {
    let nominal = tokenizer.resolution / tokenizer.factor();
    let fits = |side: &usize| {
        let condition = stage.length(side * tokenizer.factor());
        (side * side).saturating_add(condition) <= block_size.saturating_add(1)
    };
    let side = (1..=nominal).rev().find(fits).unwrap_or(1);
    [side, side]
}

/// The order of codes, and the rows and columns of the grid where it names them.
fn order(params: &Value) -> Result<(ScanOrder, Option<[usize; 2]>)> {
    let permuter = params.get("permuter_config");
    let Some(permuter) = permuter.filter(|permuter| !permuter.is_null()) else {
        return Ok((ScanOrder::Raster, None));
    };
    let order = match yaml::class_name(permuter)? {
        "Identity" => return Ok((ScanOrder::Raster, None)),
        "Subsample" => ScanOrder::Subsample,
        "ZCurve" => ScanOrder::ZCurve,
        "SpiralOut" => ScanOrder::SpiralOut,
        "SpiralIn" => ScanOrder::SpiralIn,
        "AlternateParsing" => ScanOrder::Alternate,
        "Random" => ScanOrder::Random,
        other => {
            return Err(Error::input(format!(
                "the code order `{other}` is not known: there are Identity, Subsample, ZCurve, SpiralOut, SpiralIn, \
                 AlternateParsing and Random"
            )));
        }
    };
    let sides = yaml::params(permuter)?;
    let grid = [yaml::number(sides, "H")?, yaml::number(sides, "W")?];
    Ok((order, Some(grid)))
}

/// A permuter keeps its order in the checkpoint: it must be ours.
fn check_order(permuter: &TensorMap, config: &PriorConfig) -> Result<()> {
    let Some(theirs) = permuter.get("forward_shuffle_idx") else {
        return Ok(());
    };
    let ours = config.positions().into_iter().map(|cell| cell as i64);
    if theirs
        .as_i64()
        .is_some_and(|theirs| ours.eq(theirs.iter().copied()))
    {
        return Ok(());
    }
    Err(Error::input(
        "`permuter.forward_shuffle_idx` is not the order of codes that the configuration names",
    ))
}

/// A condition, as far as it does not depend on the size of pictures.
enum Stage {
    Fixed(Condition),
    Coord {
        levels: usize,
        factor: usize,
    },
    Picture {
        /// What the authors' data sets call it.
        key: String,
        /// The shape of its tokenizer.
        tokenizer: TokenizerConfig,
        /// Whether that is another than the one of the pictures.
        own: bool,
        /// `downsample_cond_size`, or 0.
        size: usize,
    },
}

/// The condition stage, and the tensors of its tokenizer under our names.
fn stage(config: &Value, params: &Value, tensors: TensorMap) -> Result<(Stage, TensorMap)> {
    let stage = yaml::field(params, "cond_stage_config")?;
    let unconditional = params.get("unconditional").and_then(Value::as_bool) == Some(true);
    let fixed = |condition| Ok((Stage::Fixed(condition), TensorMap::new()));
    if stage.as_str() == Some("__is_first_stage__") {
        let tokenizer = yaml::tokenizer(yaml::field(params, "first_stage_config")?)?;
        return Ok((picture(params, tokenizer, false)?, TensorMap::new()));
    }
    if unconditional || stage.as_str() == Some("__is_unconditional__") {
        let start_token = yaml::optional_number(params, "sos_token", 0)?;
        return fixed(Condition::None(StartToken { start_token }));
    }
    match yaml::class_name(stage)? {
        "SOSProvider" => {
            let start_token = yaml::optional_number(yaml::params(stage)?, "sos_token", 0)?;
            fixed(Condition::None(StartToken { start_token }))
        }
        "Labelator" => fixed(Condition::Class(ClassCondition {
            classes: yaml::number(yaml::params(stage)?, "n_classes")?,
            names: Vec::new(),
        })),
        "CoordStage" => {
            if downsampled(params)? != 0 {
                return Err(Error::input(
                    "downsample_cond_size is set: coordinates that are made smaller cannot be imported",
                ));
            }
            let own = yaml::params(stage)?;
            let stage = Stage::Coord {
                levels: yaml::number(own, "n_embed")?,
                factor: yaml::number(own, "down_factor")?.max(1),
            };
            Ok((stage, TensorMap::new()))
        }
        "DummyCondStage" => fixed(Condition::Layout(layout(config, yaml::params(stage)?)?)),
        _ => {
            let (tokenizer, own) = yaml::tokenizer(stage)
                .and_then(|_| taming::tokenizer(tensors, Some(stage)))
                .map_err(|error| Error::input(format!("the condition stage: {error}")))?;
            Ok((picture(params, tokenizer, true)?, own))
        }
    }
}

fn picture(params: &Value, tokenizer: TokenizerConfig, own: bool) -> Result<Stage> {
    let key = params.get("cond_stage_key").and_then(Value::as_str);
    Ok(Stage::Picture {
        key: key.unwrap_or("depth").to_string(),
        tokenizer,
        own,
        size: downsampled(params)?,
    })
}

/// The side that pictures of the condition are brought to, 0 for none.
fn downsampled(params: &Value) -> Result<usize> {
    match params.get("downsample_cond_size").and_then(Value::as_i64) {
        None | Some(..=-1) => Ok(0),
        Some(0) => Err(Error::input(
            "downsample_cond_size is 0; pictures of no size have no codes",
        )),
        Some(size) => Ok(size as usize),
    }
}

impl Stage {
    /// How many tokens there are for pictures of `pixels` × `pixels`. It saturates.
    fn length(&self, pixels: usize) -> usize {
        let square = |side: usize| side.saturating_mul(side);
        match self {
            Self::Fixed(condition) => condition.length(),
            Self::Coord { factor, .. } => square(pixels / factor),
            Self::Picture {
                tokenizer, size, ..
            } => square(if *size == 0 { pixels } else { *size } / tokenizer.factor()),
        }
    }

    /// The condition for pictures of `pixels` × `pixels`.
    fn condition(self, pixels: usize) -> Result<Condition> {
        let (key, tokenizer, own, size) = match self {
            Self::Fixed(condition) => return Ok(condition),
            Self::Coord { levels, factor } => {
                return Ok(Condition::Coord(CoordCondition {
                    levels,
                    factor,
                    rows: pixels / factor,
                    columns: pixels / factor,
                }));
            }
            Self::Picture {
                key,
                tokenizer,
                own,
                size,
            } => (key, tokenizer, own, size),
        };
        let codes = CodesOfPicture::new(&tokenizer, own, pixels, size)?;
        Ok(match (key.as_str(), tokenizer.in_channels) {
            ("depth", _) => Condition::Depth(DepthCondition {
                form: DepthForm::Auto,
                codes,
            }),
            ("segmentation", classes) => Condition::Segmentation(SegmentationCondition {
                classes,
                ignore_value: None,
                codes,
            }),
            ("edges" | "edge" | "canny", _) => Condition::Edges(EdgesCondition { codes }),
            ("pose" | "keypoints", _) => Condition::Pose(PoseCondition { codes }),
            // What is to be made larger is read as it is: how much smaller it was made is not in the configuration.
            ("image" | "lr", _) => Condition::Lowres(LowresCondition { factor: 1, codes }),
            (other, _) => {
                return Err(Error::input(format!(
                    "the condition `{other}` is not known: of those with a tokenizer of their own there are \
                     segmentation, depth, edges, pose, lr and image"
                )));
            }
        })
    }
}

/// How objects become tokens: the model says which of two ways, the data how many and of what.
fn layout(config: &Value, stage: &Value) -> Result<LayoutCondition> {
    let data = config.get("data").and_then(|data| data.get("params"));
    let set = data.and_then(|data| data.get("train").or(data.get("validation")));
    let Some(set) = set else {
        return Err(Error::input(
            "this transformer is conditioned on objects, and how they become tokens is in the `data` of its YAML, \
             which is missing",
        ));
    };
    let params = yaml::params(set)?;
    let key = yaml::field(stage, "conditional_key")?;
    let is = |name: &str, default: bool| {
        let value = params.get(name).and_then(Value::as_bool);
        value.unwrap_or(default)
    };
    Ok(LayoutCondition {
        classes: categories(yaml::class_name(set)?, params, &is)?,
        names: Vec::new(),
        places: match key.as_str() {
            Some("objects_bbox") => Places::Boxes,
            Some("objects_center_points") => Places::Centers,
            _ => {
                return Err(Error::input(format!(
                    "conditional_key is {key}; there are objects_bbox and objects_center_points"
                )));
            }
        },
        max_objects: yaml::number(params, "max_objects_per_image")?,
        token_count: yaml::number(params, "no_tokens")?,
        encode_crop: is("encode_crop", false),
        use_group_parameter: is("use_group_parameter", false),
        use_additional_parameters: is("use_additional_parameters", false),
    })
}

/// How many categories the authors' data sets have.
fn categories(class: &str, params: &Value, is: &dyn Fn(&str, bool) -> bool) -> Result<usize> {
    if params.get("no_object_classes").is_some_and(Value::is_u64) {
        return yaml::number(params, "no_object_classes");
    }
    let chosen = params.get("category_allow_list_target");
    let chosen = chosen.and_then(Value::as_str).unwrap_or_default();
    match (class, chosen.is_empty()) {
        ("AnnotatedObjectsCoco", _) => {
            let things = if is("use_things", true) { 80 } else { 0 };
            Ok(things + if is("use_stuff", true) { 91 } else { 0 })
        }
        ("AnnotatedObjectsOpenImages", false) => Ok(340),
        ("AnnotatedObjectsOpenImages", true) => Ok(601),
        (other, _) => Err(Error::input(format!(
            "the data are of `{other}`, whose categories are not known: set no_object_classes in the YAML"
        ))),
    }
}

#[cfg(test)]
mod tests;
