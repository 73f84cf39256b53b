//! Microversions: which one a request speaks, and what that means for a row or a field.
//!
//! A service either has an [`Axis`] (Nova: 2.1 to the highest that is exact) or none, in which case every request speaks
//! [`Microversion::ANY`] and every lifetime without an end holds.

use crate::error::{Error, Result};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;

/// The minor number of an API version whose major number its service fixes: `Microversion(47)` is Nova's 2.47.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Microversion(pub u16);

impl Microversion {
    /// Newer than all: what a service without microversions speaks.
    pub const ANY: Self = Self(u16::MAX);
    /// Before all: since when what was always there is.
    pub const FIRST: Self = Self(0);
    /// The same, as something to speak: keys that nobody knows are ignored, as they were before versions.
    pub const LENIENT: Self = Self::FIRST;
}

/// From which version (inclusive) until which (exclusive) something exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    pub since: u16,
    pub until: Option<u16>,
}

impl Lifetime {
    pub const ALWAYS: Self = Self { since: 0, until: None };

    pub const fn new(since: u16, until: Option<u16>) -> Self {
        Self { since, until }
    }

    pub const fn holds_at(self, version: Microversion) -> bool {
        version.0 >= self.since
            && match self.until {
                // What ended is gone for services without microversions too.
                Some(until) => version.0 < until,
                None => true,
            }
    }
}

/// The versions one service speaks and the headers that choose among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    /// The word in `OpenStack-API-Version: <service> 2.47`.
    pub service_type: &'static str,
    /// Nova's older header, `x-openstack-nova-api-version: 2.47`; lower case.
    pub legacy_header: Option<&'static str>,
    pub major: u16,
    pub min: Microversion,
    pub max: Microversion,
    /// From here on, a query parameter that a row does not name is a bad request; some rows refuse it earlier.
    pub strict_queries: Microversion,
    pub wording: Wording,
}

/// In whose sentences a version is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wording {
    /// Nova's own.
    Nova,
    /// The library's that other services share, which also reads `1.05`.
    Shared,
}

const OPENSTACK_API_VERSION: HeaderName = HeaderName::from_static("openstack-api-version");

impl Axis {
    /// `2.47`.
    pub fn display(&self, version: Microversion) -> impl fmt::Display + use<> {
        format!("{}.{}", self.major, version.0)
    }

    /// The version a request asks for: the newer header first, then the legacy one, else the lowest.
    ///
    /// # Errors
    /// `BadRequest` for what is no version, `NotAcceptable` for one outside the range, in upstream's sentences.
    pub fn negotiate(&self, headers: &HeaderMap) -> Result<Microversion> {
        let Some(asked) = self.asked(headers) else {
            return Ok(self.min);
        };
        if asked == "latest" {
            return Ok(self.max);
        }
        let malformed = || {
            Error::bad_request(match self.wording {
                Wording::Nova => {
                    format!("API Version String {asked} is of invalid format. Must be of format MajorNum.MinorNum.")
                }
                Wording::Shared => format!("Invalid microversion: invalid version string: {asked}"),
            })
        };
        let number = |text: &str| -> Option<u16> {
            let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let leading_zero = text.len() > 1 && text.starts_with('0') && self.wording == Wording::Nova;
            (plain && !leading_zero).then(|| text.parse().ok()).flatten()
        };
        let (major, minor) = asked.split_once('.').ok_or_else(malformed)?;
        let major = number(major).ok_or_else(malformed)?;
        let minor = number(minor).ok_or_else(malformed)?;
        if major != self.major || minor < self.min.0 || minor > self.max.0 {
            return Err(Error::NotAcceptable(match self.wording {
                Wording::Nova => format!(
                    "Version {asked} is not supported by the API. Minimum is {} and maximum is {}.",
                    self.display(self.min),
                    self.display(self.max)
                ),
                Wording::Shared => format!("Invalid microversion: Unacceptable version header: {asked}"),
            }));
        }
        Ok(Microversion(minor))
    }

    fn asked<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        let all: Vec<&str> = headers
            .get_all(OPENSTACK_API_VERSION)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
            .collect();
        let mut ours = all.into_iter().rev().filter_map(|item| {
            let (service, version) = item.trim().split_once(' ')?;
            service.eq_ignore_ascii_case(self.service_type).then_some(version.trim())
        });
        ours.next().or_else(|| headers.get(self.legacy_header?)?.to_str().ok().map(str::trim))
    }

    /// Says in the answer which version was spoken, in both headers, and that answers vary by them.
    pub fn echo(&self, version: Microversion, headers: &mut HeaderMap) {
        let value = |text: String| {
            HeaderValue::from_str(&text).expect("digits, dots and a service's name are legal in a header")
        };
        let spoken = self.display(version).to_string();
        headers.insert(OPENSTACK_API_VERSION, value(format!("{} {spoken}", self.service_type)));
        headers.append(http::header::VARY, HeaderValue::from_static("OpenStack-API-Version"));
        if let Some(legacy) = self.legacy_header {
            headers.insert(HeaderName::from_static(legacy), value(spoken));
            headers.append(http::header::VARY, HeaderValue::from_static(legacy));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOVA: Axis = Axis {
        service_type: "compute",
        legacy_header: Some("x-openstack-nova-api-version"),
        major: 2,
        min: Microversion(1),
        max: Microversion(96),
        strict_queries: Microversion::ANY,
        wording: Wording::Nova,
    };

    fn asked(pairs: &[(&'static str, &'static str)]) -> Result<Microversion> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        NOVA.negotiate(&headers)
    }

    #[test]
    fn no_header_means_the_lowest_version() {
        assert_eq!(asked(&[]).unwrap(), Microversion(1));
    }

    #[test]
    fn the_newer_header_wins_over_the_legacy_one() {
        assert_eq!(
            asked(&[("x-openstack-nova-api-version", "2.3"), ("openstack-api-version", "compute 2.47")]).unwrap(),
            Microversion(47)
        );
        assert_eq!(asked(&[("x-openstack-nova-api-version", "2.3")]).unwrap(), Microversion(3));
        assert_eq!(asked(&[("openstack-api-version", "volume 3.9, compute latest")]).unwrap(), Microversion(96));
        assert_eq!(asked(&[("openstack-api-version", "volume 3.9")]).unwrap(), Microversion(1));
    }

    #[test]
    fn a_version_outside_the_range_is_not_acceptable_and_no_version_is_a_bad_request() {
        assert!(matches!(asked(&[("openstack-api-version", "compute 2.97")]), Err(Error::NotAcceptable(_))));
        assert!(matches!(asked(&[("openstack-api-version", "compute 2.0")]), Err(Error::NotAcceptable(_))));
        assert!(matches!(asked(&[("openstack-api-version", "compute 3.1")]), Err(Error::NotAcceptable(_))));
        for nonsense in ["compute 2", "compute two", "compute 2.01", "compute 2.-1", "compute 2.1.1"] {
            assert!(matches!(asked(&[("openstack-api-version", nonsense)]), Err(Error::BadRequest(_))), "{nonsense}");
        }
    }

    #[test]
    fn a_lifetime_includes_its_first_version_and_excludes_its_end() {
        let embedded = Lifetime::new(3, Some(47));
        assert!(!embedded.holds_at(Microversion(2)));
        assert!(embedded.holds_at(Microversion(3)));
        assert!(embedded.holds_at(Microversion(46)));
        assert!(!embedded.holds_at(Microversion(47)));
        assert!(!embedded.holds_at(Microversion::ANY));
    }
}
