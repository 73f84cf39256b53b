//! What a network is between hosts, as administrators see and ask for it: Neutron's attributes of provider networks.

use crate::api::Context;
use crate::cloud::segment::{Segment, VNIS, Wanted};
use crate::error::{Error, Result};
use crate::store::{Tx, network_hosts};

/// The attributes as a request has them.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub network_type: Option<String>,
    pub physical_network: Option<String>,
    pub segmentation_id: Option<i64>,
}

/// As they are shown; each only to who may see it.
#[derive(Debug, Default)]
pub struct Shown {
    pub network_type: Option<String>,
    pub physical_network: Option<Option<String>>,
    pub segmentation_id: Option<Option<u32>>,
}

impl Shown {
    pub fn of(cx: &Context, segment: &Segment) -> Self {
        let may = |field: &str| cx.may(&format!("get_network:provider:{field}"));
        Self {
            network_type: may("network_type").then(|| segment.network_type().to_owned()),
            physical_network: may("physical_network").then(|| segment.physical_network().map(str::to_owned)),
            segmentation_id: may("segmentation_id").then(|| segment.segmentation_id()),
        }
    }
}

impl Asked {
    fn is_nothing(&self) -> bool {
        self.network_type.is_none() && self.physical_network.is_none() && self.segmentation_id.is_none()
    }

    fn allow(&self, cx: &Context, action: &str) -> Result<()> {
        let given = [
            ("network_type", self.network_type.is_some()),
            ("physical_network", self.physical_network.is_some()),
            ("segmentation_id", self.segmentation_id.is_some()),
        ];
        given
            .iter()
            .filter(|(_, is_given)| *is_given)
            .try_for_each(|(field, _)| cx.allow(&format!("{action}:provider:{field}")))
    }

    /// What a new network shall be.
    ///
    /// # Errors
    /// `Forbidden` for who may not ask; `BadRequest` in Neutron's words for what no network is.
    pub fn checked(&self, cx: &Context) -> Result<Wanted> {
        self.allow(cx, "create_network")?;
        self.wanted()
    }

    fn wanted(&self) -> Result<Wanted> {
        if self.is_nothing() {
            return Ok(Wanted::Tunnel);
        }
        match self.network_type.as_deref() {
            None => Err(refused("network_type required")),
            Some("vxlan") if self.physical_network.is_some() => {
                Err(refused("provider:physical_network specified for vxlan network"))
            }
            Some("vxlan") => match self.segmentation_id.map(u32::try_from) {
                None => Ok(Wanted::Tunnel),
                Some(Ok(vni)) if VNIS.contains(&vni) => Ok(Wanted::TunnelOf(vni)),
                Some(_) => {
                    let (first, last) = (VNIS.start(), VNIS.end());
                    Err(refused(&format!("segmentation_id out of range ({first} through {last})")))
                }
            },
            Some("flat") if self.segmentation_id.is_some() => {
                Err(refused("segmentation_id prohibited for flat provider network"))
            }
            Some("flat") => match self.physical_network.as_deref() {
                None | Some("") => Err(refused("physical_network required for flat provider network")),
                Some(name) => Ok(Wanted::Flat(name.to_owned())),
            },
            Some("local") if self.physical_network.is_some() => {
                Err(refused("physical_network prohibited for local provider network"))
            }
            Some("local") if self.segmentation_id.is_some() => {
                Err(refused("segmentation_id prohibited for local provider network"))
            }
            Some("local") => Ok(Wanted::Local),
            Some(other) => Err(refused(&format!("network_type value '{other}' not supported"))),
        }
    }

    /// What a network is, it stays.
    ///
    /// # Errors
    /// For whoever asks for a change.
    pub fn refuse_change(&self, cx: &Context) -> Result<()> {
        if self.is_nothing() {
            return Ok(());
        }
        self.allow(cx, "update_network")?;
        Err(refused("Plugin does not support updating provider attributes"))
    }
}

/// # Errors
/// `BadRequest` in Neutron's words for a network of the operator's that no host is plugged into.
pub fn refuse_unknown(tx: &mut Tx, wanted: &Wanted) -> Result<()> {
    match wanted {
        Wanted::Flat(name) if !network_hosts::is_known(tx, name)? => {
            Err(refused(&format!("physical_network '{name}' unknown for flat provider network")))
        }
        _ => Ok(()),
    }
}

fn refused(why: &str) -> Error {
    Error::bad_request(format!("Invalid input for operation: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(network_type: &str, physical_network: &str, segmentation_id: i64) -> Result<Wanted, String> {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let asked = Asked {
            network_type: given(network_type),
            physical_network: given(physical_network),
            segmentation_id: (segmentation_id != 0).then_some(segmentation_id),
        };
        asked.wanted().map_err(|error| error.to_string())
    }

    #[test]
    fn what_no_network_is_is_refused_in_neutrons_words() {
        assert_eq!(asked("", "", 0), Ok(Wanted::Tunnel));
        assert_eq!(asked("vxlan", "", 0), Ok(Wanted::Tunnel));
        assert_eq!(asked("vxlan", "", 0x00ff_ffff), Ok(Wanted::TunnelOf(0x00ff_ffff)));
        assert_eq!(asked("local", "", 0), Ok(Wanted::Local));
        assert_eq!(asked("flat", "physnet1", 0), Ok(Wanted::Flat("physnet1".to_owned())));
        for ((kind, physical, id), why) in [
            (("", "", 7), "network_type required"),
            (("vxlan", "physnet1", 0), "provider:physical_network specified for vxlan network"),
            (("vxlan", "", 0x0100_0000), "segmentation_id out of range (1 through 16777215)"),
            (("vxlan", "", -1), "segmentation_id out of range (1 through 16777215)"),
            (("flat", "", 0), "physical_network required for flat provider network"),
            (("flat", "physnet1", 7), "segmentation_id prohibited for flat provider network"),
            (("local", "physnet1", 0), "physical_network prohibited for local provider network"),
            (("local", "", 7), "segmentation_id prohibited for local provider network"),
            (("gre", "", 7), "network_type value 'gre' not supported"),
        ] {
            assert_eq!(asked(kind, physical, id), Err(format!("Invalid input for operation: {why}.")));
        }
    }
}
