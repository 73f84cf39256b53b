//! Networks: what ports join.
//!
//! A network's epoch grows with every change that hosts must carry out, in the transaction of the change. The order a
//! host gets carries the epoch of the rows it was made from, so that an older picture never replaces a newer one.

use super::{Json, OrConflict, OrNotFound, Row, Tx, args};
use crate::clock::Timestamp;
use crate::cloud::policy::Reach;
use crate::cloud::segment::{Segment, VNIS, Wanted};
use crate::error::{Error, Kind, Result};
use crate::ids::{NetworkId, ProjectId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub id: NetworkId,
    pub project_id: ProjectId,
    pub name: String,
    pub description: String,
    /// Every project may join it, and the host it is carried by reaches its addresses.
    pub shared: bool,
    pub mtu: u16,
    pub segment: Segment,
    pub tags: Vec<String>,
    pub revision: i64,
    pub epoch: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

const NETWORK: &str =
    "id, project_id, name, description, shared, mtu, network_type, segmentation_id, physical_network, tags,
                       revision, epoch,                       created_at, updated_at";

impl Network {
    fn from_row(mut row: Row) -> Result<Self> {
        Ok(Self {
            id: row.next()?,
            project_id: row.next()?,
            name: row.next()?,
            description: row.next()?,
            shared: row.next()?,
            mtu: row.next()?,
            segment: Segment::kept(&row.next::<String>()?, row.next()?, row.next()?)?,
            tags: row.next::<Json<_>>()?.0,
            revision: row.next()?,
            epoch: row.next()?,
            created_at: row.next()?,
            updated_at: row.next()?,
        })
    }
}

/// What a client says of a new network.
#[derive(Debug, Clone)]
pub struct NewNetwork {
    pub project_id: ProjectId,
    pub name: String,
    pub description: String,
    pub shared: bool,
    pub mtu: u16,
    pub segment: Wanted,
}

/// # Errors
/// `Conflict` in Neutron's words for a segment that another network has; `Unavailable` when none is left.
pub fn insert(tx: &mut Tx, new: &NewNetwork, now: Timestamp) -> Result<Network> {
    let id = NetworkId::random();
    let segment = match &new.segment {
        Wanted::Tunnel => Segment::Tunnel(free_vni(tx)?),
        Wanted::TunnelOf(vni) => Segment::Tunnel(*vni),
        Wanted::Flat(name) => Segment::Flat(name.clone()),
        Wanted::Local => Segment::Local,
    };
    tx.execute(
        "INSERT INTO networks (id, project_id, name, description, admin_state_up, shared, is_external, status, mtu,
                               network_type, segmentation_id, physical_network, tags, revision, epoch, created_at,
                               updated_at)
         VALUES (?1, ?2, ?3, ?4, 1, ?5, 0, 'ACTIVE', ?6, ?7, ?8, ?9, '[]', 1, 1, ?10, ?10)",
        args![
            id,
            &new.project_id,
            &new.name,
            &new.description,
            new.shared,
            new.mtu,
            segment.network_type(),
            segment.segmentation_id(),
            segment.physical_network(),
            now
        ],
    )
    .or_conflict(|| in_use(&segment))?;
    of_id(tx, id)
}

/// As Neutron says it.
fn in_use(segment: &Segment) -> String {
    match segment {
        Segment::Tunnel(vni) => format!("Unable to create the network. The tunnel ID {vni} is in use."),
        Segment::Flat(name) => {
            format!("Unable to create the flat network. Physical network {name} is in use.")
        }
        Segment::Local => "Unable to create the network.".to_owned(),
    }
}

/// How many numbers are tried: of sixteen million, one in a hundred would have to be in use for this to matter.
const TRIES: usize = 64;

/// A number by chance. The next one after the last would be given again soon after its network is gone, while a host that is
/// away still carries that; and to count upwards all would wait for one another.
fn free_vni(tx: &mut Tx) -> Result<u32> {
    for _ in 0..TRIES {
        let vni = rand::random_range(VNIS);
        let sql = "SELECT 1 FROM networks WHERE network_type = 'vxlan' AND segmentation_id = ?1";
        if tx.query_one(sql, args![vni])?.is_none() {
            return Ok(vni);
        }
    }
    Err(Error::unavailable("Unable to create the network. A tenant network", "no tunnel ID is left"))
}

/// A network of the caller's own, or any for the whole cloud: what may be changed.
pub fn owned(tx: &mut Tx, reach: &Reach, id: NetworkId) -> Result<Network> {
    let sql = format!("SELECT {NETWORK} FROM networks WHERE id = ?1 AND (project_id = ?2 OR ?2 IS NULL)");
    tx.query_one(&sql, args![id, reach.project()?])?.or_not_found(Kind::Network, id).and_then(Network::from_row)
}

/// A network that the caller may see and join: an owned or a shared one.
pub fn visible(tx: &mut Tx, reach: &Reach, id: NetworkId) -> Result<Network> {
    let sql = format!("SELECT {NETWORK} FROM networks WHERE id = ?1 AND (project_id = ?2 OR ?2 IS NULL OR shared = 1)");
    tx.query_one(&sql, args![id, reach.project()?])?.or_not_found(Kind::Network, id).and_then(Network::from_row)
}

/// Every network that the caller may see and join, oldest first.
pub fn list_visible(tx: &mut Tx, reach: &Reach) -> Result<Vec<Network>> {
    let sql = format!(
        "SELECT {NETWORK} FROM networks WHERE (project_id = ?1 OR ?1 IS NULL OR shared = 1) ORDER BY created_at, id"
    );
    tx.query(&sql, args![reach.project()?])?.into_iter().map(Network::from_row).collect()
}

/// The networks a new server of the project may join when its client names none: the project's own, else the shared
/// ones, of which the client must name one when there are several.
pub fn usable_by(tx: &mut Tx, project: &ProjectId) -> Result<Vec<Network>> {
    let mut all = list_visible(tx, &Reach::Project(project.clone()))?;
    if all.iter().any(|network| network.project_id == *project) {
        all.retain(|network| network.project_id == *project);
    }
    Ok(all)
}

/// A network by its id alone: for work that nobody's permission bounds.
pub fn of_id(tx: &mut Tx, id: NetworkId) -> Result<Network> {
    let sql = format!("SELECT {NETWORK} FROM networks WHERE id = ?1");
    tx.query_one(&sql, args![id])?.or_not_found(Kind::Network, id).and_then(Network::from_row)
}

/// Every network there is, for hosts.
pub fn all(tx: &mut Tx) -> Result<Vec<Network>> {
    list_visible(tx, &Reach::Cloud)
}

/// Keeps name, description, sharing, MTU and tags.
pub fn update(tx: &mut Tx, network: &Network, now: Timestamp) -> Result<Network> {
    tx.execute(
        "UPDATE networks SET name = ?2, description = ?3, shared = ?4, mtu = ?5, tags = ?6, revision = revision + 1,
                             epoch = epoch + 1, updated_at = ?7
          WHERE id = ?1",
        args![network.id, &network.name, &network.description, network.shared, network.mtu, Json(&network.tags), now],
    )?;
    of_id(tx, network.id)
}

/// Something that hosts carry out has changed: a port, an address, a subnet. Answers the network as it is now.
pub fn touch(tx: &mut Tx, id: NetworkId) -> Result<Network> {
    let sql = format!("UPDATE networks SET epoch = epoch + 1 WHERE id = ?1 RETURNING {NETWORK}");
    tx.query_one(&sql, args![id])?.or_not_found(Kind::Network, id).and_then(Network::from_row)
}

/// Deletes the network with its subnets. One that has ports is in use.
pub fn delete(tx: &mut Tx, id: NetworkId) -> Result<()> {
    let ports: Vec<String> = tx
        .query("SELECT id FROM ports WHERE network_id = ?1 ORDER BY id", args![id])?
        .into_iter()
        .map(|mut row| row.next())
        .collect::<Result<_>>()?;
    if !ports.is_empty() {
        return Err(Error::conflict(format!(
            "Unable to complete operation on network {id}. There are one or more ports still in use on the network, id for these ports is {}.",
            ports.join(",")
        )));
    }
    tx.execute("DELETE FROM networks WHERE id = ?1", args![id])?;
    Ok(())
}

pub fn count(tx: &mut Tx, project: &ProjectId) -> Result<i64> {
    let row = tx.query_one("SELECT COUNT(*) FROM networks WHERE project_id = ?1", args![project])?;
    row.map_or(Ok(0), |mut row| row.next())
}
