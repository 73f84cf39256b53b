//! Machines that joined the cloud as hosts, and the tokens by which they do.

use super::{Json, Row, Tx, args};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids::HostId;
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};

/// A machine that joined. What it has and carries is its host's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    pub id: HostId,
    pub name: String,
    /// The UUID by which the machine's hypervisor tells it from all others.
    pub machine: String,
    /// An IP address and a port.
    pub address: String,
    /// SHA-256 of the certificate that it was given, hexadecimal.
    pub certificate: String,
    /// Of its program, and what that speaks, as it last said.
    pub version: String,
    pub protocol: i64,
    pub joined_at: Timestamp,
    /// The certificate that it gets in place of its own, hexadecimal.
    pub renewed: Option<String>,
}

/// Tokens that are no longer good are remembered so long, to tell whoever comes with one why.
const REMEMBERED_SECONDS: i64 = 7 * 24 * 3600;

fn from_row(mut row: Row) -> Result<NodeRow> {
    Ok(NodeRow {
        id: row.next()?,
        name: row.next()?,
        machine: row.next()?,
        address: row.next()?,
        certificate: row.next()?,
        version: row.next()?,
        protocol: row.next()?,
        joined_at: row.next()?,
        renewed: row.next()?,
    })
}

const COLUMNS: &str = "host_id, name, machine, address, certificate, version, protocol, joined_at, renewed FROM nodes";

/// All of them, by name.
pub fn list(tx: &mut Tx) -> Result<Vec<NodeRow>> {
    tx.query(&format!("SELECT {COLUMNS} ORDER BY name"), args![])?.into_iter().map(from_row).collect()
}

/// What the cloud's other machines are called and reached by; a machine may be there more than once.
pub fn others(tx: &mut Tx, id: HostId) -> Result<Vec<(String, Option<IpAddr>)>> {
    let sql = "SELECT name, tunnel_address FROM hosts WHERE id <> ?1
               UNION ALL SELECT name, address FROM nodes WHERE host_id <> ?1";
    let other = |mut row: Row| {
        let (name, address): (_, Option<String>) = (row.next()?, row.next()?);
        Ok((name, address.map(|text| reached_at(&text)).transpose()?))
    };
    tx.query(sql, args![id])?.into_iter().map(other).collect()
}

/// The address in what a row says of one, which may have a port.
pub(super) fn reached_at(text: &str) -> Result<IpAddr> {
    let found = text.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| text.parse());
    found.map_err(|_| Error::internal("a host's address is damaged", text.to_owned()))
}

/// The machine that a host is to be; `None` for a controller's own.
pub fn machine_of(tx: &mut Tx, id: HostId) -> Result<Option<String>> {
    let row = tx.query_one("SELECT machine FROM nodes WHERE host_id = ?1", args![id])?;
    row.map(|mut row| row.next()).transpose()
}

/// Keeps a token by which one machine may join until then; forgets those that were good long ago.
pub fn make_token(tx: &mut Tx, digest: &str, expires_at: Timestamp, now: Timestamp) -> Result<()> {
    tx.execute("DELETE FROM node_tokens WHERE expires_at < ?1", args![now.plus_seconds(-REMEMBERED_SECONDS)])?;
    tx.execute("INSERT INTO node_tokens (digest, expires_at) VALUES (?1, ?2)", args![digest, expires_at])?;
    Ok(())
}

/// May somebody join by this token now?
///
/// # Errors
/// `Forbidden`, with the reason.
pub fn check_token(tx: &mut Tx, digest: &str, now: Timestamp) -> Result<()> {
    let row = tx.query_one("SELECT expires_at, used_by FROM node_tokens WHERE digest = ?1", args![digest])?;
    let Some(mut row) = row else {
        return Err(Error::Forbidden("This cloud knows no such token: make one with gapura node token".to_owned()));
    };
    let (expires_at, used_by): (Timestamp, Option<String>) = (row.next()?, row.next()?);
    match used_by {
        Some(name) => Err(Error::Forbidden(format!("The token was used already, by {name}: each serves once"))),
        None if expires_at <= now => {
            Err(Error::Forbidden(format!("The token expired at {}", expires_at.to_seconds_z())))
        }
        None => Ok(()),
    }
}

/// May the machine join?
///
/// # Errors
/// As [`check_token`]; `Conflict` when the name or the machine is known already.
pub fn check(tx: &mut Tx, digest: &str, node: &NodeRow) -> Result<()> {
    check_token(tx, digest, node.joined_at)?;
    refuse_twins(tx, node)?;
    refuse_controllers(tx, node)
}

/// Uses the token up, and takes the machine in; one that joins again under its name gets its certificate anew.
///
/// # Errors
/// As [`check`].
pub fn admit(tx: &mut Tx, digest: &str, node: &NodeRow) -> Result<()> {
    check(tx, digest, node)?;
    tx.execute("UPDATE node_tokens SET used_by = ?2 WHERE digest = ?1", args![digest, node.name.as_str()])?;
    tx.execute(
        "INSERT INTO nodes (host_id, name, machine, address, certificate, version, joined_at, protocol)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (host_id) DO UPDATE SET address = ?4, certificate = ?5, version = ?6, joined_at = ?7, protocol = ?8,
                                             renewed = NULL",
        args![
            node.id,
            node.name.as_str(),
            node.machine.as_str(),
            node.address.as_str(),
            node.certificate.as_str(),
            node.version.as_str(),
            node.joined_at,
            node.protocol
        ],
    )?;
    Ok(())
}

/// One machine is one host, and a name is one machine's.
fn refuse_twins(tx: &mut Tx, node: &NodeRow) -> Result<()> {
    let sql = format!("SELECT {COLUMNS} WHERE machine = ?1 OR name = ?2 OR host_id = ?3");
    for row in tx.query(&sql, args![node.machine.as_str(), node.name.as_str(), node.id])? {
        let known = from_row(row)?;
        if known.machine == node.machine && known.name == node.name {
            continue;
        }
        let text = if known.machine == node.machine {
            format!(
                "A machine whose hypervisor has the same UUID, {}, joined already as {name}. If it is this one, say first \
                 'gapura host remove {name}'; if it is another, give one of them a UUID of its own (host_uuid in libvirtd.conf)",
                known.machine,
                name = known.name
            )
        } else {
            format!("Another machine joined as {}: give this one another name ([compute] host)", known.name)
        };
        return Err(Error::conflict(text));
    }
    Ok(())
}

/// A controller's own host joins nothing.
fn refuse_controllers(tx: &mut Tx, node: &NodeRow) -> Result<()> {
    let sql = "SELECT name, facts FROM hosts WHERE id NOT IN (SELECT host_id FROM nodes)";
    for mut row in tx.query(sql, args![])? {
        let (name, facts) = (row.next::<String>()?, row.next::<Json<Value>>()?.0);
        if facts["uuid"] == node.machine.as_str() {
            return Err(Error::conflict(format!(
                "This machine's hypervisor, by its UUID {}, is that of {name}, a host that a controller has for its own",
                node.machine
            )));
        }
        if name == node.name {
            return Err(Error::conflict(format!(
                "A controller has a host called {name} for its own: give this one another name ([compute] host)"
            )));
        }
    }
    Ok(())
}

/// Notes what the machine's program is and speaks, as it said itself.
pub fn speaks(tx: &mut Tx, id: HostId, version: &str, protocol: i64) -> Result<()> {
    let sql = "UPDATE nodes SET version = ?2, protocol = ?3 WHERE host_id = ?1";
    tx.execute(sql, args![id, version, protocol])?;
    Ok(())
}

/// Notes the certificate that the machine is about to get in place of this one, of which the fingerprint is kept. The one
/// that it gets: another controller may have been faster. `None`: it has joined again, or left.
pub fn renews(tx: &mut Tx, id: HostId, from: &str, to: &str) -> Result<Option<String>> {
    let sql =
        "UPDATE nodes SET renewed = COALESCE(renewed, ?3) WHERE host_id = ?1 AND certificate = ?2 RETURNING renewed";
    tx.query_one(sql, args![id, from, to])?.map(|mut row| row.next()).transpose()
}

/// The machine has it.
pub fn has_renewed(tx: &mut Tx, id: HostId, renewed: &str, fingerprint: &str) -> Result<()> {
    let sql = "UPDATE nodes SET certificate = ?3, renewed = NULL WHERE host_id = ?1 AND renewed = ?2";
    tx.execute(sql, args![id, renewed, fingerprint])?;
    Ok(())
}

/// The machine is no host any more, whatever it shows. Nothing to remove is done.
pub fn remove(tx: &mut Tx, id: HostId) -> Result<()> {
    tx.execute("DELETE FROM nodes WHERE host_id = ?1", args![id])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::store_test;
    use super::*;
    use crate::cloud::placement::{Demand, Ratios};
    use crate::store::hosts::{self, Heard};
    use crate::store::{Db, network_hosts};
    use serde_json::json;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn node(name: &str, machine: &str) -> NodeRow {
        NodeRow {
            id: HostId(uuid::Uuid::from_u128(name.len() as u128)),
            name: name.to_owned(),
            machine: machine.to_owned(),
            address: "192.0.2.7:5010".to_owned(),
            certificate: "aa".to_owned(),
            version: "1".to_owned(),
            protocol: 1,
            joined_at: NOW,
            renewed: None,
        }
    }

    /// Lets a machine join with a token of its own; why not.
    async fn join(db: &Db, node: NodeRow) -> Result<(), String> {
        let digest = uuid::Uuid::new_v4().to_string();
        let joined = db.write(move |tx| {
            make_token(tx, &digest, NOW.plus_seconds(9), NOW)?;
            admit(tx, &digest, &node)
        });
        joined.await.map_err(|error| error.to_string())
    }

    store_test! {
        async fn a_token_serves_once_and_only_in_time(db: Db) {
            db.write(|tx| make_token(tx, "t", NOW.plus_seconds(60), NOW)).await.unwrap();
            let refused = |db: Db, digest: &'static str, now: Timestamp| async move {
                let asked = db.read(move |tx| check_token(tx, digest, now)).await;
                asked.map_err(|error| error.to_string())
            };
            refused(db.clone(), "t", NOW).await.unwrap();
            assert_eq!(
                refused(db.clone(), "t", NOW.plus_seconds(60)).await.unwrap_err(),
                format!("The token expired at {}", NOW.plus_seconds(60).to_seconds_z())
            );
            assert!(refused(db.clone(), "other", NOW).await.unwrap_err().starts_with("This cloud knows no such token"));
            db.write(|tx| admit(tx, "t", &node("a", "m"))).await.unwrap();
            let used = "The token was used already, by a: each serves once";
            assert_eq!(refused(db.clone(), "t", NOW).await.unwrap_err(), used);
            let again = db.write(|tx| admit(tx, "t", &node("bb", "m2"))).await.unwrap_err();
            assert_eq!(again.to_string(), used);
            assert_eq!(db.read(list).await.unwrap(), [node("a", "m")]);
        }
    }

    store_test! {
        async fn a_machine_is_one_host_and_a_name_one_machine(db: Db) {
            join(&db, node("a", "m")).await.unwrap();
            let twice = join(&db, node("bb", "m")).await.unwrap_err();
            assert!(twice.starts_with("A machine whose hypervisor has the same UUID, m, joined already as a."), "{twice}");
            let same_name = join(&db, node("a", "m2")).await.unwrap_err();
            assert!(same_name.starts_with("Another machine joined as a:"), "{same_name}");
            let again = NodeRow { certificate: "bb".to_owned(), ..node("a", "m") };
            join(&db, again.clone()).await.unwrap();
            assert_eq!(db.read(list).await.unwrap(), [again], "joining again gives it another certificate");
            db.write(|tx| remove(tx, node("a", "m").id)).await.unwrap();
            join(&db, node("bb", "m")).await.unwrap();
        }
    }

    store_test! {
        async fn what_others_are_called_and_reached_by_is_known_of_hosts_and_of_machines_that_are_to_be_hosts(db: Db) {
            let own = HostId::random();
            let known = move |tx: &mut Tx| {
                hosts::ensure(tx, own, "own", "nova", NOW)?;
                network_hosts::is_at(tx, own, Some("192.0.2.1".parse().unwrap())).map(|_| ())
            };
            db.write(known).await.unwrap();
            join(&db, node("a", "m")).await.unwrap();
            join(&db, NodeRow { address: "[fd00::7]:5010".to_owned(), ..node("bb", "m2") }).await.unwrap();
            let of = async |id| {
                let mut others = db.read(move |tx| others(tx, id)).await.unwrap();
                others.sort();
                others.into_iter().map(|(name, at)| format!("{name} {}", at.unwrap())).collect::<Vec<_>>()
            };
            assert_eq!(of(node("a", "m").id).await, ["bb fd00::7", "own 192.0.2.1"]);
            assert_eq!(of(own).await, ["a 192.0.2.7", "bb fd00::7"]);
        }
    }

    store_test! {
        async fn a_controller_s_own_host_joins_nothing(db: Db) {
            let own = HostId::random();
            let known = move |tx: &mut Tx| {
                hosts::ensure(tx, own, "own", "nova", NOW)?;
                let facts = json!({"uuid": "m"});
                let (total, reserved) = (Demand::default(), Demand::default());
                let heard = Heard { facts: &facts, hypervisor_version: 1, total, reserved, ratios: Ratios::default() };
                hosts::heard(tx, own, &heard, NOW)
            };
            db.write(known).await.unwrap();
            assert!(join(&db, node("own", "m2")).await.unwrap_err().starts_with("A controller has a host called own"));
            assert!(join(&db, node("b", "m")).await.unwrap_err().contains("is that of own, a host that a controller"));
            join(&db, node("b", "m2")).await.unwrap();
        }
    }

    store_test! {
        async fn a_certificate_is_renewed_once_however_many_controllers_see_to_it(db: Db) {
            join(&db, node("a", "m")).await.unwrap();
            let id = node("a", "m").id;
            let renews = |from: &'static str, to: &'static str| db.write(move |tx| renews(tx, id, from, to));
            assert_eq!(renews("aa", "c1").await.unwrap().as_deref(), Some("c1"));
            assert_eq!(renews("aa", "c2").await.unwrap().as_deref(), Some("c1"), "the first is what it gets");
            assert_eq!(renews("zz", "c3").await.unwrap(), None, "it joined again in between");
            db.write(move |tx| has_renewed(tx, id, "c2", "bb")).await.unwrap();
            assert_eq!(db.read(list).await.unwrap()[0].certificate, "aa");
            db.write(move |tx| has_renewed(tx, id, "c1", "bb")).await.unwrap();
            db.write(move |tx| speaks(tx, id, "2", 2)).await.unwrap();
            let after = NodeRow { certificate: "bb".to_owned(), version: "2".to_owned(), protocol: 2, ..node("a", "m") };
            assert_eq!(db.read(list).await.unwrap(), [after]);
        }
    }
}
