//! Traits: what a host is able to do, by names that many projects have agreed on.
//!
//! A host's own follow from what it said of itself. `traits.txt` holds every agreed name, one a line: a name that is not
//! among them is nobody's trait.

use serde_json::Value;

const STANDARD: &str = include_str!("traits.txt");

/// Of a host that takes nothing new.
pub const DISABLED: &str = "COMPUTE_STATUS_DISABLED";

/// Every name there is, in their order.
pub fn all() -> impl Iterator<Item = &'static str> {
    STANDARD.lines()
}

pub fn is_known(name: &str) -> bool {
    all().any(|known| known == name)
}

/// The traits of a host that said this of itself, in their order.
///
/// What its CPU is able to do counts where guests have that CPU: an emulated one is another.
pub fn of(facts: &Value) -> Vec<&'static str> {
    let cpu = &facts["cpu"];
    let is_heard = !facts["hypervisor_type"].is_null();
    let mut traits = Vec::new();
    if is_heard {
        traits.extend(["COMPUTE_NODE", "COMPUTE_IMAGE_TYPE_QCOW2", "COMPUTE_IMAGE_TYPE_RAW"]);
    }
    match cpu["arch"].as_str() {
        Some("x86_64") => traits.extend(["COMPUTE_ARCH_X86_64", "HW_ARCH_X86_64"]),
        Some("aarch64") => traits.extend(["COMPUTE_ARCH_AARCH64", "HW_ARCH_AARCH64"]),
        _ => {}
    }
    if facts["accelerator"] != "tcg" {
        let features = cpu["features"].as_array().into_iter().flatten().filter_map(Value::as_str);
        traits.extend(features.flat_map(of_feature).copied());
        if cpu["threads"].as_u64().is_some_and(|threads| threads > 1) {
            traits.push("HW_CPU_HYPERTHREADING");
        }
    }
    traits.sort_unstable();
    traits.dedup();
    traits
}

/// What a feature, by libvirt's name, is called among traits. Two have an older name besides.
fn of_feature(feature: &str) -> &'static [&'static str] {
    match feature {
        "3dnow" => &["HW_CPU_X86_3DNOW"],
        "abm" => &["HW_CPU_X86_ABM"],
        "aes" => &["HW_CPU_X86_AESNI"],
        "amx-bf16" => &["HW_CPU_X86_AMXBF16"],
        "amx-int8" => &["HW_CPU_X86_AMXINT8"],
        "amx-tile" => &["HW_CPU_X86_AMXTILE"],
        "avx" => &["HW_CPU_X86_AVX"],
        "avx2" => &["HW_CPU_X86_AVX2"],
        "avx512-vpopcntdq" => &["HW_CPU_X86_AVX512VPOPCNTDQ"],
        "avx512bitalg" => &["HW_CPU_X86_AVX512BITALG"],
        "avx512bw" => &["HW_CPU_X86_AVX512BW"],
        "avx512cd" => &["HW_CPU_X86_AVX512CD"],
        "avx512dq" => &["HW_CPU_X86_AVX512DQ"],
        "avx512er" => &["HW_CPU_X86_AVX512ER"],
        "avx512f" => &["HW_CPU_X86_AVX512F"],
        "avx512ifma" => &["HW_CPU_X86_AVX512IFMA"],
        "avx512pf" => &["HW_CPU_X86_AVX512PF"],
        "avx512vbmi" => &["HW_CPU_X86_AVX512VBMI"],
        "avx512vbmi2" => &["HW_CPU_X86_AVX512VBMI2"],
        "avx512vl" => &["HW_CPU_X86_AVX512VL"],
        "avx512vnni" => &["HW_CPU_X86_AVX512VNNI"],
        "bmi1" => &["HW_CPU_X86_BMI"],
        "bmi2" => &["HW_CPU_X86_BMI2"],
        "f16c" => &["HW_CPU_X86_F16C"],
        "fma" => &["HW_CPU_X86_FMA3"],
        "fma4" => &["HW_CPU_X86_FMA4"],
        "gfni" => &["HW_CPU_X86_AVX512GFNI"],
        "mmx" => &["HW_CPU_X86_MMX"],
        "mpx" => &["HW_CPU_X86_MPX"],
        // Both spellings are libvirt's, in different versions of it.
        "pclmuldq" | "pclmulqdq" => &["HW_CPU_X86_CLMUL"],
        "sha-ni" => &["HW_CPU_X86_SHA"],
        "sse" => &["HW_CPU_X86_SSE"],
        "sse2" => &["HW_CPU_X86_SSE2"],
        "sse3" | "pni" => &["HW_CPU_X86_SSE3"],
        "sse4.1" => &["HW_CPU_X86_SSE41"],
        "sse4.2" => &["HW_CPU_X86_SSE42"],
        "sse4a" => &["HW_CPU_X86_SSE4A"],
        "ssse3" => &["HW_CPU_X86_SSSE3"],
        "svm" => &["HW_CPU_X86_AMD_SVM", "HW_CPU_X86_SVM"],
        "tbm" => &["HW_CPU_X86_TBM"],
        "vaes" => &["HW_CPU_X86_AVX512VAES"],
        "vmx" => &["HW_CPU_X86_INTEL_VMX", "HW_CPU_X86_VMX"],
        "vpclmulqdq" => &["HW_CPU_X86_AVX512VPCLMULQDQ"],
        "xop" => &["HW_CPU_X86_XOP"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_host_has_the_traits_of_its_cpu_and_its_architecture() {
        let cpu = json!({"arch": "x86_64", "features": ["avx2", "svm", "of-no-name"], "threads": 2});
        let facts = json!({"cpu": cpu, "hypervisor_type": "QEMU", "accelerator": "kvm"});
        let expected = [
            "COMPUTE_ARCH_X86_64",
            "COMPUTE_IMAGE_TYPE_QCOW2",
            "COMPUTE_IMAGE_TYPE_RAW",
            "COMPUTE_NODE",
            "HW_ARCH_X86_64",
            "HW_CPU_HYPERTHREADING",
            "HW_CPU_X86_AMD_SVM",
            "HW_CPU_X86_AVX2",
            "HW_CPU_X86_SVM",
        ];
        assert_eq!(of(&facts), expected);
        assert_eq!(of(&json!({})), [""; 0], "a host that has said nothing yet has none");
    }

    #[test]
    fn guests_on_an_emulated_cpu_have_nothing_of_the_hosts() {
        let cpu = json!({"arch": "x86_64", "features": ["avx2"], "threads": 2});
        let facts = json!({"cpu": cpu, "hypervisor_type": "QEMU", "accelerator": "tcg"});
        assert!(!of(&facts).iter().any(|name| name.starts_with("HW_CPU_")));
    }

    #[test]
    fn every_trait_that_a_host_can_have_is_one_that_there_is() {
        let names = all().collect::<Vec<_>>();
        assert!(names.is_sorted() && is_known(DISABLED) && !is_known("HW_CPU_X86") && !is_known(""));
        for feature in
            include_str!("traits.rs").lines().filter_map(|line| line.trim().strip_prefix('"')?.split('"').next())
        {
            for name in of_feature(feature) {
                assert!(is_known(name), "{name}");
            }
        }
    }
}
