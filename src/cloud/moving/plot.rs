//! What remained of a move over time, drawn: with blocks for a terminal, as SVG for everything else.
//!
//! Disks go first and memory follows, so the two stand upon each other: light is what remains of disks, dark of memory.

use super::Point;
use std::fmt::Write;

const WIDTH: usize = 64;
const HEIGHT: usize = 12;

/// The points of a drawing so many columns wide: what was last known at the end of each column's time.
fn columns(points: &[Point], width: usize) -> Vec<(u64, u64)> {
    let Some(last) = points.last() else { return Vec::new() };
    let mut found = Vec::with_capacity(width);
    let mut known = (points[0].disk, points[0].memory);
    let mut next = points.iter().peekable();
    for column in 1..=width as u64 {
        let until = last.at_ms.saturating_mul(column) / width as u64;
        let mut highest: Option<(u64, u64)> = None;
        while let Some(point) = next.next_if(|point| point.at_ms <= until) {
            known = (point.disk, point.memory);
            // A peak that is shorter than a column is seen.
            highest = highest.filter(|peak| peak.0 + peak.1 > known.0 + known.1).or(Some(known));
        }
        found.push(highest.unwrap_or(known));
    }
    found
}

/// With blocks, a line of text a row, for a terminal of eighty columns.
pub fn text(points: &[Point]) -> String {
    let columns = columns(points, WIDTH);
    let most = columns.iter().map(|(disk, memory)| disk + memory).max().unwrap_or(0);
    if most == 0 {
        return "nothing was seen to remain: the move was over before the first look\n".to_owned();
    }
    let mut drawn = String::new();
    for row in (0..HEIGHT as u64).rev() {
        // The middle of the row is what a column has to reach.
        let reached = (2 * row + 1) * most / (2 * HEIGHT as u64);
        let label = if row + 1 == HEIGHT as u64 { bytes(most) } else { String::new() };
        let line: String = columns
            .iter()
            .map(|(disk, memory)| match () {
                () if disk + memory <= reached => ' ',
                () if *disk > reached => '░',
                () => '█',
            })
            .collect();
        let _ = writeln!(drawn, "{label:>10} │{}", line.trim_end());
    }
    let _ = writeln!(drawn, "{:>10} └{}", "0", "─".repeat(WIDTH));
    let seconds = format!("{:.1} s", seconds(points));
    let _ = writeln!(drawn, "{:>12}{:>width$}", "0 s", seconds, width = WIDTH);
    drawn.push_str("             █ memory that remained   ░ disk that remained\n");
    drawn
}

/// As a picture of its own, without anything from elsewhere.
pub fn svg(points: &[Point]) -> String {
    const W: u64 = 720;
    const H: u64 = 280;
    let most = points.iter().map(|point| point.disk + point.memory).max().unwrap_or(0).max(1);
    let last = points.last().map_or(0, |point| point.at_ms).max(1);
    let area = |of: fn(&Point) -> u64| {
        let mut path = format!("M60,{H}");
        for point in points {
            let x = 60 + u128::from(point.at_ms) * u128::from(W - 80) / u128::from(last);
            let y = u128::from(H) - u128::from(of(point)) * u128::from(H - 30) / u128::from(most);
            let _ = write!(path, " L{x},{y}");
        }
        let _ = write!(path, " L{},{H} Z", W - 20);
        path
    };
    let (both, disk) = (area(|point| point.disk + point.memory), area(|point| point.disk));
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {W} {height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
<path d="{both}" fill="#3b6ea5"/>
<path d="{disk}" fill="#a9c4e0"/>
<path d="M60,20 V{H} H{right}" fill="none" stroke="black"/>
<text x="55" y="34" text-anchor="end">{top}</text>
<text x="55" y="{H}" text-anchor="end">0</text>
<text x="{right}" y="{below}" text-anchor="end">{seconds:.1} s</text>
<text x="60" y="{below}">remaining memory (dark) and disk (light) over time</text>
</svg>
"##,
        height = H + 30,
        right = W - 20,
        below = H + 18,
        top = bytes(most),
        seconds = seconds(points),
    )
}

fn seconds(points: &[Point]) -> f64 {
    points.last().map_or(0.0, |point| point.at_ms as f64 / 1000.0)
}

/// As people say it: `87.5 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let (mut value, mut unit) = (count as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn course() -> Vec<Point> {
        vec![
            Point { at_ms: 0, memory: 100 * MIB, disk: 50 * MIB },
            Point { at_ms: 1000, memory: 100 * MIB, disk: 0 },
            Point { at_ms: 2000, memory: 50 * MIB, disk: 0 },
            Point { at_ms: 4000, memory: 0, disk: 0 },
        ]
    }

    #[test]
    fn a_drawing_falls_from_all_to_nothing_and_says_what_its_axes_are() {
        let drawn = text(&course());
        let rows: Vec<&str> = drawn.lines().collect();
        assert_eq!(rows.len(), HEIGHT + 3);
        assert!(rows[0].contains("150.0 MiB") && drawn.contains("4.0 s"), "{drawn}");
        assert!(rows.iter().all(|row| row.chars().count() <= 80), "{drawn}");
        let filled = |row: &str| row.chars().filter(|one| "█░".contains(*one)).count();
        assert!(filled(rows[0]) > 0 && filled(rows[0]) < filled(rows[HEIGHT - 1]), "{drawn}");
        assert!(filled(rows[HEIGHT - 1]) < WIDTH, "in the end nothing remains: {drawn}");
        assert!(rows[HEIGHT - 1].contains('░') && rows[HEIGHT - 1].contains('█'), "{drawn}");
    }

    #[test]
    fn a_move_of_which_nothing_was_seen_is_said_to_be_one() {
        assert!(text(&[]).contains("over before the first look"));
        assert!(text(&[Point { at_ms: 0, memory: 0, disk: 0 }]).contains("over before the first look"));
        assert!(svg(&[]).starts_with("<svg"));
    }

    #[test]
    fn a_picture_is_whole_and_stays_within_its_frame() {
        let drawn = svg(&course());
        let document = roxmltree::Document::parse(&drawn).unwrap();
        assert_eq!(document.descendants().filter(|node| node.has_tag_name("path")).count(), 3);
        assert!(drawn.contains("L60,30") && drawn.contains("150.0 MiB"), "{drawn}");
    }

    #[test]
    fn a_peak_that_is_shorter_than_a_column_is_seen() {
        let mut points: Vec<Point> = (0..1000).map(|at_ms| Point { at_ms, memory: MIB, disk: 0 }).collect();
        points[500].memory = 10 * MIB;
        assert_eq!(columns(&points, 10).iter().max(), Some(&(0, 10 * MIB)));
    }

    #[test]
    fn bytes_are_said_as_people_say_them() {
        assert_eq!([bytes(0), bytes(1023), bytes(1536), bytes(5 << 30)], ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
    }
}
