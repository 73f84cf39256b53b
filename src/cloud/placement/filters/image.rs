//! What an image demands of the hypervisor: its architecture, its kind, its version.

use super::super::{Candidate, Request, Rules};

pub fn suits(host: &Candidate, request: &Request, rules: &Rules) -> bool {
    let property = |name: &str| request.image_properties.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let default = Some(rules.image_properties_default_architecture.as_str()).filter(|text| !text.is_empty());
    let architecture = property("hw_architecture").or(default).map(canonical);
    let is_virtual = |mode: &str| matches!(mode.to_lowercase().as_str(), "hvm" | "xenhvm");
    architecture.is_none_or(|wanted| runs(host, &wanted))
        && property("img_hv_type").is_none_or(|kind| is_kind(host, kind))
        && property("hw_vm_mode").is_none_or(is_virtual)
        && property("img_hv_requested_version").is_none_or(|version| is_version(host.hypervisor_version, version))
}

/// Names that mean the same, as upstream takes them together.
fn canonical(architecture: &str) -> String {
    match architecture.to_lowercase().as_str() {
        "amd64" => "x86_64".to_owned(),
        "i386" | "i486" | "i586" => "i686".to_owned(),
        "arm64" => "aarch64".to_owned(),
        other => other.to_owned(),
    }
}

fn runs(host: &Candidate, wanted: &str) -> bool {
    let own = canonical(host.kind.facts["cpu"]["arch"].as_str().unwrap_or_default());
    own == wanted || (own == "x86_64" && wanted == "i686")
}

fn is_kind(host: &Candidate, wanted: &str) -> bool {
    let facts = &host.kind.facts;
    let own = facts["hypervisor_type"].as_str().unwrap_or_default().to_lowercase();
    match wanted.to_lowercase().as_str() {
        "kvm" => own == "qemu" && facts["accelerator"] == "kvm",
        // As upstream's driver without machines calls itself.
        "fake" => own == "simulated",
        wanted => own == wanted,
    }
}

/// `>=6.0,<=11.0`: every comparison must hold of a version that is counted as libvirt does.
fn is_version(own: u64, wanted: &str) -> bool {
    let own = [own / 1_000_000, own / 1000 % 1000, own % 1000];
    wanted.split(',').map(str::trim).filter(|text| !text.is_empty()).all(|text| {
        let digits = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
        let (operator, number) = text.split_at(digits);
        let mut other = [0; 3];
        for (place, part) in other.iter_mut().zip(number.trim().split('.')) {
            let Ok(part) = part.parse() else { return false };
            *place = part;
        }
        match operator.trim() {
            "<" => own < other,
            "<=" => own <= other,
            "==" | "" => own == other,
            "!=" => own != other,
            ">" => own > other,
            ">=" => own >= other,
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_satisfies_every_comparison_or_is_refused() {
        let ten = 10_000_002;
        for (wanted, expected) in [
            (">=6.0", true),
            (">=6.0,<10.0.2", false),
            (">=6.0, <=10.0.2", true),
            ("==10.0.2", true),
            ("!=10.0.2", false),
            (">11", false),
            ("about ten", false),
        ] {
            assert_eq!(is_version(ten, wanted), expected, "{wanted}");
        }
    }
}
