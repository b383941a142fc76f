//! The blocks of a Markdown page and the commands in them.

/// What the first word of a command may be, or the folder of programs that it begins with.
const PROGRAMS: [&str; 4] = ["smalti", "cargo", "rustup", "python3"];
const FOLDERS: [&str; 3] = ["scripts/", "bench/", "venv/"];

/// Fences whose content is not for a shell. Rust belongs into the examples, where it is compiled.
const OTHER_LANGUAGES: [&str; 5] = ["text", "json", "yaml", "csv", "toml"];

/// An indented or fenced block.
#[derive(Debug, PartialEq)]
pub struct Block {
    /// The number of its first line in the page.
    pub line: usize,
    /// Without the indentation they have in common.
    pub lines: Vec<String>,
    /// What stands behind the fence.
    pub language: String,
}

impl Block {
    /// Whether it says of itself that it is not for a shell.
    pub fn is_labelled_otherwise(&self) -> bool {
        OTHER_LANGUAGES.contains(&self.language.as_str())
    }

    /// The commands, continued lines put together and remarks taken off; `None` if it is no block of commands.
    pub fn commands(&self) -> Option<Vec<String>> {
        if !is_command(self.lines.first()?) {
            return None;
        }
        let mut commands: Vec<String> = Vec::new();
        let mut continued = false;
        for line in &self.lines {
            let text = line.trim();
            let part = text.trim_end_matches('\\').trim_end();
            match commands.last_mut().filter(|_| continued) {
                Some(command) => *command = format!("{command} {part}"),
                None if is_command(line) => commands.push(part.to_string()),
                // Anything else goes on with the remark of the line above.
                None => {}
            }
            continued = text.ends_with('\\');
        }
        Some(
            commands
                .iter()
                .map(|command| without_remark(command))
                .collect(),
        )
    }
}

fn is_command(line: &str) -> bool {
    let first = line.split(' ').next().unwrap_or_default();
    PROGRAMS.contains(&first) || FOLDERS.iter().any(|folder| first.starts_with(folder))
}

/// What stands three spaces behind a command, or behind a `#`, is a remark.
fn without_remark(command: &str) -> String {
    let end = command.find("   ").or_else(|| command.find(" # "));
    command[..end.unwrap_or(command.len())]
        .trim_end()
        .to_string()
}

/// All blocks of a page.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open: Option<Block> = None;
    let (mut fenced, mut after_blank) = (false, true);
    for (number, line) in page.lines().enumerate() {
        let begin = |language: &str| Block {
            line: number + 1,
            lines: Vec::new(),
            language: language.trim().to_string(),
        };
        let indented = !fenced && line.starts_with("    ") && !line.trim().is_empty();
        if let Some(language) = line.trim_start().strip_prefix("```") {
            blocks.extend(open.take());
            fenced = !fenced;
            open = fenced.then(|| begin(language));
        } else if fenced || indented {
            if open.is_none() && after_blank {
                open = Some(begin(""));
            }
            if let Some(block) = &mut open {
                let text = if fenced { line } else { &line[4..] };
                block.lines.push(text.to_string());
            }
        } else {
            blocks.extend(open.take());
        }
        after_blank = line.trim().is_empty();
    }
    blocks.extend(open);
    blocks
}

/// The words of a command as a shell sees them, quotation marks included.
pub fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in command.chars() {
        match quote {
            Some(mark) if letter == mark => quote = None,
            None if letter == '\'' || letter == '"' => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            None if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[test]
fn blocks_and_commands_are_found() {
    let page = "Text\n    not a block\n\n    smalti info a    a remark\n                     that goes on\n    smalti nll \\\n        \
                --model b c   more\n\n```json\n{}\n```\n\n    a table\n";
    let blocks = blocks(page);
    assert_eq!(blocks.len(), 3);
    assert_eq!(blocks[0].line, 4);
    let expected = [
        "smalti info a".to_string(),
        "smalti nll --model b c".to_string(),
    ];
    assert_eq!(blocks[0].commands().unwrap(), expected);
    assert!(blocks[1].is_labelled_otherwise());
    assert_eq!(blocks[2].commands(), None);
    assert_eq!(words("a 'b c'  \"d\"e ''"), ["a", "b c", "de", ""]);
}
