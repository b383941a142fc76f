//! Tables as text, of which the first two columns are wanted: tab-separated lines as they are, and comma-separated ones
//! with their quotation marks (RFC 4180).

/// One line of a table; a quoted field may make it several.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Its number in the file, from 1.
    pub(super) line: usize,
    pub(super) first: String,
    /// `None` where there is one column only.
    pub(super) second: Option<String>,
}

/// The rows of a table, read as they are asked for. Fields are without the spaces around them.
pub(super) struct Rows<'t> {
    rest: &'t str,
    line: usize,
    separator: char,
}

impl<'t> Rows<'t> {
    /// Lines with tabs between their fields.
    pub(super) fn with_tabs(text: &'t str) -> Self {
        Self::new(text, '\t')
    }

    /// Lines with commas between their fields. A field in quotation marks may hold commas, ends of lines, and quotation
    /// marks that are doubled.
    pub(super) fn with_commas(text: &'t str) -> Self {
        Self::new(text, ',')
    }

    fn new(text: &'t str, separator: char) -> Self {
        Self {
            // Some editors begin a file with a byte order mark.
            rest: text.strip_prefix('\u{feff}').unwrap_or(text),
            line: 1,
            separator,
        }
    }

    fn row(&mut self) -> Result<Row, String> {
        let line = self.line;
        let first = self.field()?;
        let mut second = None;
        while self.separator_follows()? {
            let field = self.field()?;
            second = second.or(Some(field));
        }
        Ok(Row {
            line,
            first,
            second,
        })
    }

    /// Steps over what stands behind a field: `false` at the end of the row.
    fn separator_follows(&mut self) -> Result<bool, String> {
        let mut rest = self.rest.chars();
        let next = rest.next();
        let line = self.line;
        self.rest = rest.as_str();
        match next {
            None => Ok(false),
            Some('\n') => {
                self.line += 1;
                Ok(false)
            }
            Some(character) if character == self.separator => Ok(true),
            Some(_) => Err(format!(
                "line {line}: there is something between a closing quotation mark and the next comma"
            )),
        }
    }

    fn field(&mut self) -> Result<String, String> {
        let start = self.rest.trim_start_matches(' ');
        if self.separator == ','
            && let Some(quoted) = start.strip_prefix('"')
        {
            self.rest = quoted;
            let field = self.quoted()?;
            self.rest = self.rest.trim_start_matches([' ', '\r']);
            return Ok(field.trim().to_string());
        }
        let end = self.rest.find([self.separator, '\n']);
        let (field, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        Ok(field.trim().to_string())
    }

    /// A field whose opening quotation mark was read, up to the closing one.
    fn quoted(&mut self) -> Result<String, String> {
        let opened = self.line;
        let mut field = String::new();
        loop {
            let (part, rest) = self
                .rest
                .split_once('"')
                .ok_or_else(|| format!("line {opened}: a quotation mark is not closed"))?;
            self.line += part.matches('\n').count();
            field.push_str(part);
            match rest.strip_prefix('"') {
                Some(rest) => {
                    field.push('"');
                    self.rest = rest;
                }
                None => {
                    self.rest = rest;
                    return Ok(field);
                }
            }
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, String>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty()).then(|| self.row())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(line: usize, first: &str, second: Option<&str>) -> Row {
        Row {
            line,
            first: first.to_string(),
            second: second.map(str::to_string),
        }
    }

    fn all(rows: Rows<'_>) -> Vec<Row> {
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn tabs_separate_and_quotation_marks_are_text() {
        let text = "\u{feff}a.png\t a \"dog\", running \tx\ty\r\n\nb c.png\n\td";
        let expected = [
            row(1, "a.png", Some("a \"dog\", running")),
            row(2, "", None),
            row(3, "b c.png", None),
            row(4, "", Some("d")),
        ];
        assert_eq!(all(Rows::with_tabs(text)), expected);
        assert!(all(Rows::with_tabs("")).is_empty());
    }

    #[test]
    fn commas_separate_outside_quotation_marks() {
        let text =
            "a.png,\"a \"\"big\"\", red\nball\" ,x\r\n\"b,c.png\", it's\td \"e\"\r\nd.png,\"\"";
        let expected = [
            row(1, "a.png", Some("a \"big\", red\nball")),
            row(3, "b,c.png", Some("it's\td \"e\"")),
            row(4, "d.png", Some("")),
        ];
        assert_eq!(all(Rows::with_commas(text)), expected);
    }

    #[test]
    fn quotation_marks_that_go_wrong_are_named_by_line() {
        let error = |text| Rows::with_commas(text).find_map(Result::err).unwrap();
        assert!(error("a,b\nc,\"d\n\ne").starts_with("line 2: a quotation mark"));
        assert!(error("a,\"b\nc\"d").starts_with("line 2: there is something"));
    }
}
