use super::*;
use crate::http::microversion::Microversion;
use serde_json::json;

crate::versioned! {
    response Shown {
        "id"                   => id: String,
        "locked" since(9)      => locked: bool,
        "link" until(47)       => link: &'static str,
        "flavor" since(47)     => flavor: Inner,
        "fault" optional       => fault: Option<String>,
        "note"                 => note: Option<String>;
        flatten                => extra
    }
}

crate::versioned! {
    response Inner { "vcpus" => vcpus: i64, "extra" since(50) => extra: i64 }
}

crate::versioned! {
    #[expect(dead_code, reason = "only parsed")]
    request Taken strict {
        "name" required            => name: Text<1, 5>,
        "networks" required_since(37) => networks: Option<Vec<String>>,
        "tags" since(52)           => tags: Option<Vec<String>>,
        "count"                    => count: Maybe<Between<1, 10>>,
    }
}

fn shown(version: u16) -> String {
    let view = Shown {
        id: "x".into(),
        locked: true,
        link: "l",
        flavor: Inner { vcpus: 1, extra: 2 },
        fault: None,
        note: None,
        extra: serde_json::from_value(json!({"os_distro": "debian"})).unwrap(),
    };
    String::from_utf8(to_vec(&view, Microversion(version))).unwrap()
}

fn refusal(version: u16, body: serde_json::Value) -> String {
    Taken::parse(body, &Path::Root, Microversion(version)).map(|_| ()).unwrap_err().reason
}

#[test]
fn a_view_shows_what_is_on_the_wire_at_its_version() {
    assert_eq!(shown(1), r#"{"id":"x","link":"l","note":null,"os_distro":"debian"}"#);
    assert_eq!(shown(9), r#"{"id":"x","locked":true,"link":"l","note":null,"os_distro":"debian"}"#);
    assert_eq!(shown(47), r#"{"id":"x","locked":true,"flavor":{"vcpus":1},"note":null,"os_distro":"debian"}"#);
    assert_eq!(
        shown(50),
        r#"{"id":"x","locked":true,"flavor":{"vcpus":1,"extra":2},"note":null,"os_distro":"debian"}"#
    );
}

#[test]
fn a_body_is_refused_in_jsonschemas_sentences() {
    assert_eq!(refusal(1, json!({})), "'name' is a required property");
    assert_eq!(refusal(1, json!({"name": 3})), "3 is not of type 'string'");
    assert_eq!(refusal(1, json!({"name": "toolong"})), "'toolong' is too long");
    assert_eq!(
        refusal(1, json!({"name": "a", "tags": []})),
        "Additional properties are not allowed ('tags' was unexpected)"
    );
    assert_eq!(refusal(37, json!({"name": "a"})), "'networks' is a required property");
    assert_eq!(refusal(1, json!({"name": "a", "count": "11"})), "11 is greater than the maximum of 10");
    assert_eq!(refusal(1, json!({"name": "a", "count": null})), "None is not of type 'integer', 'string'");
    assert!(Taken::parse(json!({"name": "a", "tags": ["t"], "networks": null}), &Path::Root, Microversion(52)).is_ok());
}

#[test]
fn a_schema_says_what_the_version_takes() {
    let schema = <Taken as Parse>::schema(Microversion(37));
    assert_eq!(schema["required"], json!(["name", "networks"]));
    assert_eq!(schema["properties"].as_object().unwrap().keys().collect::<Vec<_>>(), ["name", "networks", "count"]);
    let mut boundaries = Vec::new();
    <Shown as View>::boundaries(&mut boundaries);
    boundaries.sort_unstable();
    boundaries.dedup();
    assert_eq!(boundaries, [9, 47, 50]);
}
