//! One HTML page that needs nothing but itself: no scripts, styles in its head, plots as SVG, pictures as data. Whatever
//! comes from elsewhere (paths, names in files) is escaped, and the page forbids a browser to load anything.

use super::figures::{Figure, protocol_entries};
use super::pictures::data_uri;
use image::RgbImage;
use serde_json::Value;
use smalti::Result;
use smalti::checkpoint::write_atomic;
use std::fmt::Write as _;
use std::path::Path;

/// Light, and dark where the reader's system is. The plots take their colours from here too.
const STYLE: &str = "
:root{color-scheme:light dark;--paper:#fff;--ink:#1c1c1c;--faint:#d8d8d8;--soft:#666;--warn:#8a3b00;
--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#9a4f80;--c4:#8a6d00;--c5:#3f86b8}
@media(prefers-color-scheme:dark){:root{--paper:#16181a;--ink:#e6e6e6;--faint:#3c4043;--soft:#a0a0a0;--warn:#ffb074;
--c0:#56b4e9;--c1:#ff9a4d;--c2:#3fd0a4;--c3:#e39ac6;--c4:#f0e442;--c5:#a8d4f0}}
body{background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.2rem}
table{border-collapse:collapse}th,td{text-align:left;vertical-align:top;padding:.25rem 1.2rem .25rem 0;
border-bottom:1px solid var(--faint);overflow-wrap:anywhere}td.n{font-variant-numeric:tabular-nums;white-space:nowrap}
.soft{color:var(--soft)}.warn{color:var(--warn);border-left:.25rem solid;padding-left:.8rem}
figure{display:inline-block;margin:.4rem .8rem .4rem 0;max-width:100%}figcaption{color:var(--soft);font-size:.85rem}
img{max-width:100%;height:auto;image-rendering:pixelated}svg{max-width:100%;height:auto;display:block;margin:1rem 0}
svg text{fill:var(--ink);font:12px system-ui,sans-serif}svg .axis{stroke:var(--soft);fill:none}
svg .grid{stroke:var(--faint);fill:none}svg .line{fill:none;stroke-width:1.8}svg .band{stroke:none;opacity:.2}";

/// A page that grows part by part.
pub struct Page {
    title: String,
    body: String,
}

impl Page {
    pub fn new(title: &str) -> Self {
        let title = escape(title);
        Self {
            body: format!("<h1>{title}</h1>\n"),
            title,
        }
    }

    /// Begins a part.
    pub fn heading(&mut self, text: &str) {
        self.add(&format!("<h2>{}</h2>", escape(text)));
    }

    /// A paragraph.
    pub fn text(&mut self, text: &str) {
        self.add(&format!("<p>{}</p>", escape(text)));
    }

    /// A paragraph that is not to be overlooked.
    pub fn warning(&mut self, text: &str) {
        self.add(&format!("<p class=\"warn\">{}</p>", escape(text)));
    }

    /// A table of figures.
    pub fn figures(&mut self, figures: &[Figure]) {
        self.add("<table>");
        for figure in figures {
            let cells = [&figure.name, &figure.value, &figure.spread, &figure.about].map(escape);
            let [name, value, spread, about] = cells;
            self.add(&format!(
                "<tr><th>{name}</th><td class=\"n\">{value}</td><td class=\"n soft\">{spread}</td>\
                 <td class=\"soft\">{about}</td></tr>"
            ));
        }
        self.add("</table>");
    }

    /// A table with a heading for each column.
    pub fn table(&mut self, headings: &[&str], rows: &[Vec<String>]) {
        self.add("<table>");
        let headings: String = headings
            .iter()
            .map(|heading| format!("<th>{}</th>", escape(heading)))
            .collect();
        self.add(&format!("<tr>{headings}</tr>"));
        for row in rows {
            let cells: String = row
                .iter()
                .map(|cell| format!("<td class=\"n\">{}</td>", escape(cell)))
                .collect();
            self.add(&format!("<tr>{cells}</tr>"));
        }
        self.add("</table>");
    }

    /// How figures were measured: every entry of a JSON object that is not null.
    pub fn protocol(&mut self, protocol: &Value) {
        self.heading("How this was measured");
        self.add("<table>");
        for (name, value) in protocol_entries(protocol) {
            self.add(&format!(
                "<tr><th>{}</th><td>{}</td></tr>",
                escape(&name),
                escape(&value)
            ));
        }
        self.add("</table>");
    }

    /// An SVG of [`plot`](super::plot), which has escaped what it shows.
    pub fn plot(&mut self, svg: &str) {
        self.add(svg);
    }

    /// A picture with what there is to say of it.
    ///
    /// # Errors
    /// A picture that cannot be packed.
    pub fn picture(&mut self, picture: &RgbImage, caption: &str) -> Result<()> {
        let (width, height) = picture.dimensions();
        let caption = escape(caption);
        self.add(&format!(
            "<figure><img width=\"{width}\" height=\"{height}\" alt=\"{caption}\" src=\"{}\">\
             <figcaption>{caption}</figcaption></figure>",
            data_uri(picture)?
        ));
        Ok(())
    }

    fn add(&mut self, html: &str) {
        self.body.push_str(html);
        self.body.push('\n');
    }

    /// The whole page.
    pub fn html(&self) -> String {
        let Self { title, body } = self;
        let mut html = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            html,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
             <title>{title}</title>\n<style>{STYLE}\n</style></head>\n<body>\n{body}\
             <p class=\"soft\">smalti {}</p>\n</body></html>\n",
            env!("CARGO_PKG_VERSION")
        );
        html
    }

    /// Writes the page.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_atomic(path, |file| {
            std::io::Write::write_all(file, self.html().as_bytes())
        })
    }
}

/// Text that means nothing but itself, in HTML and in SVG, between tags and in quoted attributes.
pub fn escape(text: impl AsRef<str>) -> String {
    let text = text.as_ref();
    let mut escaped = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            sign if sign.is_control() && sign != '\n' && sign != '\t' => escaped.push('\u{fffd}'),
            sign => escaped.push(sign),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const HOSTILE: &str = "<script>alert(1)</script>\" onload='x'&\u{0}";

    #[test]
    fn nothing_from_elsewhere_becomes_markup() {
        let mut page = Page::new(HOSTILE);
        page.heading(HOSTILE);
        page.text(HOSTILE);
        page.warning(HOSTILE);
        page.figures(&[Figure::new(HOSTILE, HOSTILE).about(HOSTILE)]);
        page.table(&[HOSTILE], &[vec![HOSTILE.to_string()]]);
        page.protocol(&json!({HOSTILE: HOSTILE}));
        page.picture(&RgbImage::new(2, 1), HOSTILE).unwrap();
        let html = page.html();
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains("onload='") && !html.contains('\u{0}'));
        assert!(
            html.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot; onload=&#39;x&#39;&amp;")
        );
    }

    #[test]
    fn a_page_needs_nothing_but_itself() {
        let mut page = Page::new("figures");
        page.picture(&RgbImage::new(2, 1), "a picture").unwrap();
        let html = page.html();
        assert!(html.contains("default-src 'none'"));
        assert!(html.contains("src=\"data:image/png;base64,iVBOR"));
        assert!(!html.contains("http://") && !html.contains("https://"));
        assert!(!html.contains("<script") && !html.contains("<link"));
    }
}
