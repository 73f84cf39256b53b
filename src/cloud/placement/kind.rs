//! What many hosts are alike in: a thousand machines are of a handful of makes.
//!
//! Of what a host says, its hypervisor, its CPU and what follows from them are those of its kind, which is kept, read and
//! understood once however many hosts are of it; the rest is its own. The features of a CPU, most of the text by far, stand
//! beside the JSON, where only a comparison with them looks.

use super::traits;
use serde_json::Value;

/// What a host says that is of its kind.
const SHARED: [&str; 3] = ["cpu", "hypervisor_type", "accelerator"];

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostKind {
    /// As hosts said it, without the features of the CPU; null: they have said nothing, or nobody asks.
    pub facts: Value,
    /// Of the CPU, by libvirt's names, as extra specs compare a list: `['avx', 'sse']`. Empty: it has said none.
    pub features: String,
    /// What such a host is able to do, with spaces between.
    pub traits: String,
}

impl HostKind {
    /// Takes what a host said apart, into what it is alike in with others and what is its own.
    pub fn take_apart(said: &Value) -> (Self, Value) {
        let traits = traits::of(said).join(" ");
        let (mut own, mut facts) = (said.clone(), Value::Object(serde_json::Map::new()));
        for name in SHARED {
            if let Some(value) = own.as_object_mut().and_then(|own| own.shift_remove(name)) {
                facts[name] = value;
            }
        }
        let features = facts.get_mut("cpu").and_then(Value::as_object_mut).and_then(|cpu| cpu.shift_remove("features"));
        let features = features.as_ref().and_then(Value::as_array).map_or_else(String::new, |some| as_list(some));
        (Self { facts, features, traits }, own)
    }

    /// All that the host said.
    pub fn with_own(self, own: Value) -> Value {
        let mut said = own;
        if let Value::Object(facts) = self.facts {
            for (name, value) in facts {
                said[name] = value;
            }
        }
        let list = self.features.strip_prefix('[').and_then(|list| list.strip_suffix(']'));
        if let Some(list) = list {
            let names = list.split(", ").map(|name| name.trim_matches('\'')).filter(|name| !name.is_empty());
            said["cpu"]["features"] = names.collect();
        }
        said
    }

    pub fn has_trait(&self, name: &str) -> bool {
        self.traits.split(' ').any(|own| own == name)
    }
}

fn as_list(features: &[Value]) -> String {
    let names: Vec<String> = features.iter().filter_map(Value::as_str).map(|name| format!("'{name}'")).collect();
    format!("[{}]", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hosts_of_one_make_are_of_one_kind_and_each_is_told_again_as_it_said() {
        let said = |uuid: &str| {
            json!({"uuid": uuid, "hostname": uuid, "memory_mib": 1024, "hypervisor_type": "QEMU", "accelerator": "kvm",
                   "cpu": {"arch": "x86_64", "features": ["avx2", "svm"], "cores": 4}})
        };
        let ((one, own), (other, _)) = (HostKind::take_apart(&said("a")), HostKind::take_apart(&said("b")));
        assert_eq!(one, other);
        assert_eq!(own, json!({"uuid": "a", "hostname": "a", "memory_mib": 1024}));
        assert_eq!(one.features, "['avx2', 'svm']");
        assert!(one.has_trait("HW_CPU_X86_AVX2") && !one.has_trait("HW_CPU_X86"));
        assert_eq!(one.with_own(own), said("a"));
    }

    #[test]
    fn a_host_that_has_said_nothing_is_of_no_kind() {
        let (kind, own) = HostKind::take_apart(&json!({}));
        assert_eq!((kind.features.as_str(), kind.traits.as_str()), ("", ""));
        assert_eq!(kind.with_own(own), json!({}));
    }
}
