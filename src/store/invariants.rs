//! What the tables themselves refuse, whoever asks and however they race: on both engines.

use super::testing::store_test;
use super::{Db, Tx, args};
use crate::error::{Error, Result};
use futures::future::join_all;

type Outcome = Result<u64>;

fn is_conflict(outcome: &Outcome) -> bool {
    matches!(outcome, Err(Error::Conflict(_)))
}

/// Broken by code of ours only, so nothing a client should hear of.
fn is_fault(outcome: &Outcome) -> bool {
    matches!(outcome, Err(Error::Internal { .. }))
}

fn domain(tx: &mut Tx, id: &str, name: &str) -> Outcome {
    tx.execute(
        "INSERT INTO projects (id, is_domain, name, name_key, description, enabled, options, extra, created_at)
         VALUES (?1, 1, ?2, ?2, '', 1, '{}', '{}', 0)",
        args![id, name],
    )
}

fn project(tx: &mut Tx, id: &str, domain: &str, parent: &str, name: &str) -> Outcome {
    tx.execute(
        "INSERT INTO projects (id, domain_id, parent_id, is_domain, name, name_key, description, enabled, options,
                               extra, created_at)
         VALUES (?1, ?2, ?3, 0, ?4, ?4, '', 1, '{}', '{}', 0)",
        args![id, domain, parent, name],
    )
}

fn user(tx: &mut Tx, id: &str, domain: &str, name: &str) -> Outcome {
    tx.execute(
        "INSERT INTO users (id, domain_id, name, name_key, enabled, options, extra, failed_logins, created_at)
         VALUES (?1, ?2, ?3, ?3, 1, '{}', '{}', 0, 0)",
        args![id, domain, name],
    )
}

fn role(tx: &mut Tx, id: &str, domain: Option<&str>, name: &str) -> Outcome {
    tx.execute(
        "INSERT INTO roles (id, domain_id, name, name_key, options, extra, created_at)
         VALUES (?1, ?2, ?3, ?3, '{}', '{}', 0)",
        args![id, domain, name],
    )
}

fn grant(tx: &mut Tx, user: Option<&str>, project: Option<&str>, domain: Option<&str>, is_system: bool) -> Outcome {
    tx.execute(
        "INSERT INTO assignments (role_id, user_id, project_id, domain_id, is_system, inherited)
         VALUES ('r', ?1, ?2, ?3, ?4, 0)",
        args![user, project, domain, is_system],
    )
}

/// Two domains; a project, a user and a role in the first.
async fn with_identity(db: &Db) {
    db.write(|tx| {
        domain(tx, "d", "Default")?;
        domain(tx, "e", "Elsewhere")?;
        project(tx, "p", "d", "d", "demo")?;
        user(tx, "u", "d", "alice")?;
        role(tx, "r", None, "member")
    })
    .await
    .unwrap();
}

async fn count(db: &Db, table: &'static str) -> i64 {
    db.read(move |tx| tx.query(&format!("SELECT COUNT(*) FROM {table}"), args![])?.remove(0).next()).await.unwrap()
}

fn image(tx: &mut Tx, id: &str, status: &str) -> Outcome {
    tx.execute("INSERT INTO image_ids (id) VALUES (?1)", args![id])?;
    tx.execute(
        "INSERT INTO images (id, status, visibility, min_disk, min_ram, protected, os_hidden, created_at, updated_at)
         VALUES (?1, ?2, 'private', 0, 0, 0, 0, 0, 0)",
        args![id, status],
    )
}

async fn with_network(db: &Db) {
    db.write(|tx| {
        tx.execute(
            "INSERT INTO networks (id, project_id, name, description, admin_state_up, shared, is_external, status, mtu,
                                   tags, revision, epoch, created_at, updated_at)
             VALUES ('n', 'p', 'net', '', 1, 0, 0, 'ACTIVE', 1500, '[]', 1, 1, 0, 0)",
            args![],
        )?;
        tx.execute(
            "INSERT INTO subnets (id, network_id, project_id, name, description, ip_version, cidr, enable_dhcp,
                                  allocation_pools, dns_nameservers, host_routes, tags, revision, created_at, updated_at)
             VALUES ('t', 'n', 'p', '', '', 4, '10.0.0.0/24', 1, '[]', '[]', '[]', '[]', 1, 0, 0)",
            args![],
        )
    })
    .await
    .unwrap();
}

fn port(tx: &mut Tx, id: &str, mac: &str) -> Outcome {
    tx.execute(
        "INSERT INTO ports (id, network_id, project_id, name, description, mac_address, admin_state_up, status, device_id,
                            device_owner, position, made_for_server, tags, revision, created_at, updated_at)
         VALUES (?1, 'n', 'p', '', '', ?2, 1, 'DOWN', '', '', 0, 0, '[]', 1, 0, 0)",
        args![id, mac],
    )
}

store_test! {
    async fn a_name_is_unique_in_its_domain_and_free_in_others(db: Db) {
        with_identity(&db).await;
        assert!(is_conflict(&db.write(|tx| domain(tx, "f", "Default")).await));
        assert!(is_conflict(&db.write(|tx| project(tx, "q", "d", "p", "demo")).await), "a child too");
        assert!(is_conflict(&db.write(|tx| user(tx, "v", "d", "alice")).await));
        assert!(is_conflict(&db.write(|tx| role(tx, "s", None, "member")).await));
        db.write(|tx| {
            project(tx, "q", "e", "e", "demo")?;
            project(tx, "o", "d", "d", "Default")?;
            user(tx, "v", "e", "alice")?;
            role(tx, "s", Some("d"), "member")?;
            role(tx, "t", Some("e"), "member")
        })
        .await
        .unwrap();
        assert!(is_conflict(&db.write(|tx| role(tx, "x", Some("e"), "member")).await));
    }

    async fn a_grant_has_one_actor_and_one_target_and_is_given_once(db: Db) {
        with_identity(&db).await;
        for wrong in [
            (None, Some("p"), None, false),
            (Some("u"), None, None, false),
            (Some("u"), Some("p"), Some("d"), false),
            (Some("u"), Some("p"), None, true),
        ] {
            assert!(is_fault(&db.write(move |tx| grant(tx, wrong.0, wrong.1, wrong.2, wrong.3)).await), "{wrong:?}");
        }
        for right in [(Some("p"), None, false), (None, Some("d"), false), (None, None, true)] {
            db.write(move |tx| grant(tx, Some("u"), right.0, right.1, right.2)).await.unwrap();
            assert!(is_conflict(&db.write(move |tx| grant(tx, Some("u"), right.0, right.1, right.2)).await), "{right:?}");
        }
        assert_eq!(count(&db, "assignments").await, 3);
    }

    async fn a_grant_goes_with_its_role_user_or_target(db: Db) {
        with_identity(&db).await;
        for (table, id) in [("users", "u"), ("projects", "p"), ("roles", "r")] {
            db.write(|tx| grant(tx, Some("u"), Some("p"), None, false)).await.unwrap();
            db.write(move |tx| tx.execute(&format!("DELETE FROM {table} WHERE id = ?1"), args![id])).await.unwrap();
            assert_eq!(count(&db, "assignments").await, 0, "{table}");
            db.write(move |tx| match table {
                "users" => user(tx, "u", "d", "alice"),
                "projects" => project(tx, "p", "d", "d", "demo"),
                _ => Ok(0),
            })
            .await
            .unwrap();
        }
    }

    async fn a_domain_takes_everything_in_it_along(db: Db) {
        with_identity(&db).await;
        db.write(|tx| {
            project(tx, "q", "d", "p", "child")?;
            role(tx, "s", Some("d"), "local")?;
            grant(tx, Some("u"), Some("q"), None, false)
        })
        .await
        .unwrap();
        db.write(|tx| tx.execute("DELETE FROM projects WHERE id = 'd'", args![])).await.unwrap();
        assert_eq!(count(&db, "projects").await, 1);
        assert_eq!(count(&db, "users").await, 0);
        assert_eq!(count(&db, "assignments").await, 0);
        assert_eq!(count(&db, "roles").await, 1, "the one for every domain");
    }

    async fn a_project_with_children_can_not_be_deleted(db: Db) {
        with_identity(&db).await;
        db.write(|tx| project(tx, "q", "d", "p", "child")).await.unwrap();
        assert!(is_fault(&db.write(|tx| tx.execute("DELETE FROM projects WHERE id = 'p'", args![])).await));
        assert_eq!(count(&db, "projects").await, 4);
    }

    async fn a_domain_in_a_domain_is_refused(db: Db) {
        with_identity(&db).await;
        assert!(is_fault(&db.write(|tx| tx.execute("UPDATE projects SET is_domain = 1 WHERE id = 'p'", args![])).await));
        assert!(is_fault(&db.write(|tx| tx.execute("UPDATE projects SET is_domain = 0 WHERE id = 'd'", args![])).await));
    }

    async fn ossn_0075_the_id_of_a_deleted_image_is_never_given_again(db: Db) {
        db.write(|tx| image(tx, "i", "queued")).await.unwrap();
        db.write(|tx| tx.execute("DELETE FROM images WHERE id = 'i'", args![])).await.unwrap();
        assert!(is_conflict(&db.write(|tx| image(tx, "i", "queued")).await));
        assert!(is_fault(&db.write(|tx| tx.execute(
            "INSERT INTO images (id, status, visibility, min_disk, min_ram, protected, os_hidden, created_at, updated_at)
             VALUES ('j', 'queued', 'private', 0, 0, 0, 0, 0, 0)", args![])).await), "an image that isn't in the list of ids");
    }

    async fn an_image_without_bytes_is_not_active(db: Db) {
        db.write(|tx| image(tx, "i", "queued")).await.unwrap();
        for status in ["active", "deactivated"] {
            assert!(is_fault(&db.write(move |tx| tx.execute("UPDATE images SET status = ?1", args![status])).await));
        }
    }

    async fn bytes_in_use_can_not_be_forgotten(db: Db) {
        db.write(|tx| {
            image(tx, "i", "queued")?;
            tx.execute("INSERT INTO blobs (id, store, location, size, md5, sha512, refcount, created_at)
                        VALUES ('b', 'file', 'b', 3, 'm', 's', 1, 0)", args![])?;
            tx.execute("UPDATE images SET blob_id = 'b', size = 3, status = 'active'", args![])
        })
        .await
        .unwrap();
        assert!(is_fault(&db.write(|tx| tx.execute("DELETE FROM blobs", args![])).await));
        assert!(is_fault(&db.write(|tx| tx.execute("UPDATE blobs SET refcount = refcount - 2", args![])).await));
    }

    async fn an_address_of_a_subnet_has_one_port_however_many_race_for_it(db: Db) {
        with_network(&db).await;
        db.write(|tx| { for n in 0..20 { port(tx, &format!("o{n}"), &format!("m{n}"))?; } Ok(()) }).await.unwrap();
        let claims = join_all((0..20).map(|n| {
            db.write(move |tx| tx.execute(
                "INSERT INTO allocations (subnet_id, ip_address, port_id) VALUES ('t', '10.0.0.5', ?1)",
                args![format!("o{n}")],
            ))
        }))
        .await;
        assert_eq!(claims.iter().filter(|claim| claim.is_ok()).count(), 1);
        assert_eq!(claims.iter().filter(|claim| is_conflict(claim)).count(), 19);
    }

    async fn a_hardware_address_is_unique_in_its_network(db: Db) {
        with_network(&db).await;
        db.write(|tx| port(tx, "o", "fa:16:3e:00:00:01")).await.unwrap();
        assert!(is_conflict(&db.write(|tx| port(tx, "p", "fa:16:3e:00:00:01")).await));
    }

    async fn a_network_with_ports_can_not_be_deleted_and_one_without_takes_its_subnets_along(db: Db) {
        with_network(&db).await;
        db.write(|tx| port(tx, "o", "fa:16:3e:00:00:01")).await.unwrap();
        assert!(is_fault(&db.write(|tx| tx.execute("DELETE FROM networks", args![])).await));
        db.write(|tx| { tx.execute("DELETE FROM ports", args![])?; tx.execute("DELETE FROM networks", args![]) }).await.unwrap();
        assert_eq!(count(&db, "subnets").await, 0);
    }
}
