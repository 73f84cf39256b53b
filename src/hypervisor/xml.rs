//! XML as a value: a tree of elements that knows how to write itself.
//!
//! Names that tenants choose end up in a domain's XML. Building a tree and escaping in one place, at the end, leaves no
//! way to forget it: there is no function here that takes markup.

use std::fmt::Write;

/// An element with attributes and either text or children.
#[derive(Debug, Clone)]
pub struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    text: Option<String>,
    children: Vec<Element>,
}

impl Element {
    pub fn new(name: &'static str) -> Self {
        Self { name, attributes: Vec::new(), text: None, children: Vec::new() }
    }

    pub fn with(mut self, attribute: &'static str, value: impl ToString) -> Self {
        self.attributes.push((attribute, value.to_string()));
        self
    }

    pub fn text(mut self, text: impl ToString) -> Self {
        self.text = Some(text.to_string());
        self
    }

    pub fn child(mut self, child: Element) -> Self {
        self.children.push(child);
        self
    }

    pub fn children(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children);
        self
    }

    /// The element as text, two spaces a level.
    pub fn render(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out
    }

    fn write(&self, out: &mut String, depth: usize) {
        let indent = "  ".repeat(depth);
        let _ = write!(out, "{indent}<{}", self.name);
        for (name, value) in &self.attributes {
            let _ = write!(out, " {name}='{}'", escape(value));
        }
        if let Some(text) = &self.text {
            let _ = writeln!(out, ">{}</{}>", escape(text), self.name);
        } else if self.children.is_empty() {
            out.push_str("/>\n");
        } else {
            out.push_str(">\n");
            for child in &self.children {
                child.write(out, depth + 1);
            }
            let _ = writeln!(out, "{indent}</{}>", self.name);
        }
    }
}

/// Escapes for text and attributes alike. White space becomes references, or an attribute would lose it; characters
/// that XML 1.0 can't hold in any form become U+FFFD.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(out, "&#{};", character as u32);
            }
            '\0'..='\x1f' | '\x7f' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_text_and_attributes_stays_text() {
        let element = Element::new("a").with("b", "'/><evil c='").child(Element::new("d").text("</d><evil/>]]>&amp;"));
        insta::assert_snapshot!(element.render(), @r"
        <a b='&apos;/&gt;&lt;evil c=&apos;'>
          <d>&lt;/d&gt;&lt;evil/&gt;]]&gt;&amp;amp;</d>
        </a>
        ");
    }

    #[test]
    fn control_characters_are_replaced_and_white_space_survives() {
        let text = Element::new("a").text("x\0\u{1b}[2J\u{ffff}\ty\n").render();
        assert_eq!(text, "<a>x\u{fffd}\u{fffd}[2J\u{fffd}&#9;y&#10;</a>\n");
    }
}
