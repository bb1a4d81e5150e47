//! Tables: upper-case headings, columns three spaces apart, no lines. Text from elsewhere loses its control characters,
//! so that nothing a cluster reports can move the cursor of the one who reads it.

/// Spaces between columns.
const GAP: usize = 3;
/// Characters that [`cut`] leaves.
const CUT_CHARS: usize = 45;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    #[default]
    Plain,
    Good,
    Warning,
    Bad,
    Faint,
}

impl Style {
    pub fn paint(self, text: &str, colour: bool) -> String {
        let code = match self {
            Style::Plain => return text.to_owned(),
            Style::Good => "32",
            Style::Warning => "33",
            Style::Bad => "31",
            Style::Faint => "2",
        };
        if colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub fn new(text: impl Into<String>, style: Style) -> Cell {
        Cell { text: clean(&text.into()), style }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::new(text, Style::Plain)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::new(text, Style::Plain)
    }
}

/// The begin of a text that may be long, for a row of a table; all of it is shown elsewhere.
pub fn cut(text: &str) -> String {
    let start: String = text.chars().take(CUT_CHARS - 1).collect();
    if text.chars().count() <= CUT_CHARS { text.to_owned() } else { start + "…" }
}

/// The same text without control characters, line ends as spaces.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub fn new(headings: &[&'static str]) -> Table {
        Table { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Without headings.
    pub fn plain() -> Table {
        Table { headings: Vec::new(), rows: Vec::new() }
    }

    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }

    pub fn render(&self, colour: bool) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count());
            cells.chain(self.headings.get(column).map(|heading| heading.len())).max().unwrap_or(0)
        };
        let columns = self.rows.iter().map(Vec::len).chain([self.headings.len()]).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let headings: Vec<Cell> = self.headings.iter().map(|heading| Cell::from(*heading)).collect();
        let headings = (!headings.is_empty()).then_some(&headings);
        let mut text = String::new();
        for row in headings.into_iter().chain(&self.rows) {
            push_row(&mut text, row, &widths, colour);
        }
        text
    }
}

fn push_row(text: &mut String, row: &[Cell], widths: &[usize], colour: bool) {
    let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
    for (at, (cell, width)) in row.iter().zip(widths).enumerate().take(last + 1) {
        *text += &cell.style.paint(&cell.text, colour);
        if at < last {
            *text += &" ".repeat(width - cell.text.chars().count() + GAP);
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "STATE", "NOTE"]);
        table.row(["eu-1".into(), Cell::new("connected", Style::Good), "größer".into()]);
        table.row(["a-long-name".into(), Cell::new("lost", Style::Bad), "".into()]);
        table
    }

    #[test]
    fn looks_like_docker() {
        let want = "NAME          STATE       NOTE\n\
                    eu-1          connected   größer\n\
                    a-long-name   lost\n";
        assert_eq!(table().render(false), want);
    }

    #[test]
    fn colour_does_not_change_widths() {
        let plain = table().render(true).replace("\x1b[32m", "").replace("\x1b[31m", "").replace("\x1b[0m", "");
        assert_eq!(plain, table().render(false));
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(cut("größer"), "größer");
        let text = "ü".repeat(CUT_CHARS + 1);
        assert_eq!(cut(&text).chars().count(), CUT_CHARS);
        assert_eq!(cut(&text[2..]), text[2..]);
    }

    #[test]
    fn reported_text_cannot_move_the_cursor() {
        let mut table = Table::new(&["ERROR"]);
        table.row(["a\x1b[2Jb\nc".into()]);
        assert_eq!(table.render(false), "ERROR\na [2Jb c\n");
    }
}
