//! The small language in which extra specs compare: `>= 4`, `s== one`, `<in> text`, `<or> one <or> other`.

/// Does the value satisfy what is required? Without an operator it must be the same text.
pub fn matches(value: &str, required: &str) -> bool {
    let mut words = required.split_whitespace();
    let operator = words.next().unwrap_or_default();
    let number = |text: &str| text.parse::<f64>().ok();
    let compare = |holds: fn(f64, f64) -> bool, other: Option<&str>| matches!((number(value), other.and_then(number)), (Some(one), Some(other)) if holds(one, other));
    match operator {
        "=" | ">=" => compare(|one, other| one >= other, words.next()),
        "<=" => compare(|one, other| one <= other, words.next()),
        "==" => compare(|one, other| (one - other).abs() < f64::EPSILON, words.next()),
        "!=" => compare(|one, other| (one - other).abs() >= f64::EPSILON, words.next()),
        "s==" => words.next() == Some(value),
        "s!=" => words.next().is_some_and(|other| value != other),
        "s<" => words.next().is_some_and(|other| value < other),
        "s<=" => words.next().is_some_and(|other| value <= other),
        "s>" => words.next().is_some_and(|other| value > other),
        "s>=" => words.next().is_some_and(|other| value >= other),
        "<in>" => words.next().is_some_and(|other| value.contains(other)),
        "<all-in>" => {
            let mut all = words.peekable();
            all.peek().is_some() && all.all(|word| value.contains(word))
        }
        // Each value stands behind an operator of its own.
        "<or>" => words.step_by(2).any(|word| word == value),
        _ => value == required,
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_value_is_compared_as_the_operator_says() {
        for (value, required, expected) in [
            ("8", "= 4", true),
            ("8", ">= 9", false),
            ("8", "<= 8.0", true),
            ("8", "== 8.0", true),
            ("8", "!= 8", false),
            ("eight", ">= 4", false),
            ("b", "s== b", true),
            ("b", "s!= b", false),
            ("b", "s< c", true),
            ("b", "s>= c", false),
            ("['avx', 'sse']", "<in> avx", true),
            ("['avx', 'sse']", "<all-in> avx sse", true),
            ("['avx', 'sse']", "<all-in> avx vmx", false),
            ("two", "<or> one <or> two", true),
            ("or", "<or> one <or> two", false),
            ("three", "<or> one <or> two", false),
            ("plain", "plain", true),
            ("plain", "other", false),
            ("8", ">=", false),
        ] {
            assert_eq!(matches(value, required), expected, "{value} {required}");
        }
    }
}
