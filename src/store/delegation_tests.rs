//! What delegation promises of its rows, on both engines.

use super::testing::store_test;
use super::{Db, Tx, access_rules, application_credentials, args, assignments, credentials, roles, trusts, users};
use crate::clock::Timestamp;
use crate::cloud::access_rules::AccessRule;
use crate::cloud::identity::{Actor, Assignment, Target, Trust};
use crate::error::{Error, Result};
use crate::ids::RoleId;
use crate::store::application_credentials::ApplicationCredential;
use crate::store::credentials::Credential;
use serde_json::Map;

const NOW: Timestamp = Timestamp(1_000_000_000_000);

/// Two users of a domain, a project, two roles.
async fn with_people(db: &Db) {
    db.write(|tx| {
        for sql in [
            "INSERT INTO projects (id, is_domain, name, name_key, description, enabled, options, extra, created_at)
             VALUES ('d', 1, 'd', 'd', '', 1, '{}', '{}', 1)",
            "INSERT INTO projects (id, domain_id, parent_id, is_domain, name, name_key, description, enabled, options, extra,
                                   created_at)
             VALUES ('p', 'd', 'd', 0, 'p', 'p', '', 1, '{}', '{}', 1)",
            "INSERT INTO users (id, domain_id, name, name_key, enabled, options, extra, failed_logins, created_at)
             VALUES ('alice', 'd', 'alice', 'alice', 1, '{}', '{}', 0, 1), ('bob', 'd', 'bob', 'bob', 1, '{}', '{}', 0, 1)",
            "INSERT INTO roles (id, name, name_key, options, extra, created_at)
             VALUES ('r', 'r', 'r', '{}', '{}', 1), ('s', 's', 's', '{}', '{}', 1), ('t', 't', 't', '{}', '{}', 1)",
            "INSERT INTO implied_roles (prior_role_id, implied_role_id) VALUES ('r', 's'), ('s', 't'), ('t', 's')",
        ] {
            tx.execute(sql, args![])?;
        }
        Ok(())
    })
    .await
    .unwrap();
}

fn trust(id: &str, uses: Option<i64>, expires_at: Option<Timestamp>) -> Trust {
    Trust {
        id: id.to_owned(),
        trustor_user_id: "alice".into(),
        trustee_user_id: "bob".into(),
        project_id: Some("p".into()),
        impersonation: false,
        role_ids: vec!["r".into()],
        expires_at,
        remaining_uses: uses,
        extra: Map::new(),
    }
}

fn rule(id: &str, path: &str) -> AccessRule {
    AccessRule { id: id.to_owned(), service: "compute".to_owned(), method: "GET".to_owned(), path: path.to_owned() }
}

fn application_credential(id: &str, role: &str, rules: Vec<AccessRule>) -> ApplicationCredential {
    ApplicationCredential {
        id: id.to_owned(),
        user_id: "alice".into(),
        project_id: "p".into(),
        name: id.to_owned(),
        description: None,
        secret_hash: "x".to_owned(),
        role_ids: vec![role.into()],
        unrestricted: false,
        expires_at: None,
        access_rules: rules,
    }
}

fn grant(role: &str) -> Assignment {
    let (actor, target) = (Actor::User("alice".into()), Target::Project("p".into()));
    Assignment { role_id: role.into(), actor, target, inherited: false }
}

fn credential(id: &str, key: &str) -> Credential {
    Credential {
        id: id.to_owned(),
        user_id: "alice".into(),
        project_id: Some("p".into()),
        kind: "totp".to_owned(),
        key_id: key.to_owned(),
        sealed: format!("sealed {id}"),
        extra: Map::new(),
        totp_window: 0,
    }
}

async fn count(db: &Db, table: &'static str) -> i64 {
    let read = move |tx: &mut Tx| tx.query(&format!("SELECT COUNT(*) FROM {table}"), args![])?.remove(0).next();
    db.read(read).await.unwrap()
}

fn ids(found: Result<Vec<ApplicationCredential>>) -> Result<Vec<String>> {
    Ok(found?.into_iter().map(|credential| credential.id).collect())
}

store_test! {
    async fn a_trust_is_used_as_often_as_it_says_whoever_comes_first(db: Db) {
        with_people(&db).await;
        db.write(|tx| {
            trusts::insert(tx, &trust("counted", Some(3), None), NOW)?;
            trusts::insert(tx, &trust("free", None, None), NOW)
        })
        .await
        .unwrap();
        let uses = futures::future::join_all((0..8).map(|_| db.write(|tx| trusts::consume(tx, "counted")))).await;
        assert_eq!(uses.into_iter().filter(|used| *used.as_ref().unwrap()).count(), 3);
        for _ in 0..3 {
            assert!(db.write(|tx| trusts::consume(tx, "free")).await.unwrap());
        }
        let (alive, usable) = db
            .read(|tx| Ok((trusts::alive(tx, "counted", NOW)?, trusts::usable(tx, "counted", NOW)?)))
            .await
            .unwrap();
        assert_eq!((alive.unwrap().remaining_uses, usable), (Some(0), None));
        db.write(|tx| trusts::delete(tx, "free", NOW)).await.unwrap();
        assert!(!db.write(|tx| trusts::consume(tx, "free")).await.unwrap());
    }

    async fn a_trust_that_was_taken_back_is_neither_found_nor_listed_and_its_place_is_free(db: Db) {
        with_people(&db).await;
        let end = Some(NOW.plus_seconds(60));
        db.write(move |tx| trusts::insert(tx, &trust("one", None, end), NOW)).await.unwrap();
        let twin = db.write(move |tx| trusts::insert(tx, &trust("two", None, end), NOW)).await;
        assert!(matches!(twin, Err(Error::Conflict(_))));
        let alive = |at: Timestamp| db.read(move |tx| Ok(trusts::alive(tx, "one", at)?.is_some()));
        assert!(alive(NOW.plus_seconds(59)).await.unwrap());
        assert!(!alive(NOW.plus_seconds(60)).await.unwrap());
        db.write(|tx| trusts::delete(tx, "one", NOW)).await.unwrap();
        assert!(!alive(NOW).await.unwrap());
        assert!(db.read(|tx| trusts::list(tx, None, None)).await.unwrap().is_empty());
        db.write(move |tx| trusts::insert(tx, &trust("two", None, end), NOW)).await.unwrap();
        assert_eq!(count(&db, "trusts").await, 2, "the row stays a while");
        let later = NOW.plus_seconds(31 * 86_400);
        db.write(move |tx| trusts::insert(tx, &trust("three", None, None), later)).await.unwrap();
        assert_eq!(count(&db, "trusts").await, 2, "and not for ever");
    }

    async fn what_was_delegated_goes_with_its_user(db: Db) {
        with_people(&db).await;
        db.write(|tx| {
            let rules = vec![rule("k", "/a"), rule("l", "/b")];
            rules.iter().try_for_each(|rule| access_rules::insert(tx, &"alice".into(), rule, NOW))?;
            application_credentials::insert(tx, &application_credential("c", "r", rules), NOW)?;
            trusts::insert(tx, &trust("t", None, None), NOW)?;
            credentials::insert(tx, &credential("s", "k"), NOW)
        })
        .await
        .unwrap();
        let found = db.read(|tx| application_credentials::by_id(tx, "c")).await.unwrap().unwrap();
        assert_eq!(found.access_rules, [rule("k", "/a"), rule("l", "/b")]);
        assert!(db.read(|tx| access_rules::is_in_use(tx, "k")).await.unwrap());
        db.write(|tx| users::delete(tx, &"alice".into())).await.unwrap();
        for table in ["application_credentials", "access_rules", "application_credential_rules", "trusts", "credentials"] {
            assert_eq!(count(&db, table).await, 0, "{table}");
        }
    }

    async fn an_application_credential_goes_with_its_role_unless_that_is_held_another_way(db: Db) {
        with_people(&db).await;
        db.write(|tx| {
            ["r", "s"].iter().try_for_each(|role| assignments::insert(tx, &grant(role)))?;
            application_credentials::insert(tx, &application_credential("of r", "r", Vec::new()), NOW)?;
            application_credentials::insert(tx, &application_credential("of s", "s", Vec::new()), NOW)
        })
        .await
        .unwrap();
        let left = |tx: &mut Tx| ids(application_credentials::list(tx, &"alice".into()));
        assert!(db.write(|tx| assignments::delete(tx, &grant("s"))).await.unwrap());
        assert_eq!(db.read(left).await.unwrap(), ["of r", "of s"], "r implies s");
        assert!(db.write(|tx| assignments::delete(tx, &grant("r"))).await.unwrap());
        assert_eq!(db.read(left).await.unwrap(), ["of s"]);
        db.write(|tx| roles::delete(tx, &"s".into())).await.unwrap();
        assert_eq!(db.read(left).await.unwrap(), Vec::<String>::new());
    }

    async fn implied_roles_are_followed_to_the_end_also_in_a_ring(db: Db) {
        with_people(&db).await;
        let all = db.read(|tx| roles::with_implied(tx, &["r".into()])).await.unwrap();
        assert_eq!(all, ["r", "s", "t"].map(RoleId::from));
    }

    async fn a_window_of_passcodes_is_taken_once_and_never_again_after_a_later_one(db: Db) {
        with_people(&db).await;
        db.write(|tx| credentials::insert(tx, &credential("s", "k"), NOW)).await.unwrap();
        let takes = futures::future::join_all((0..6).map(|_| db.write(|tx| credentials::take_totp_window(tx, "s", 7)))).await;
        assert_eq!(takes.into_iter().filter(|taken| *taken.as_ref().unwrap()).count(), 1);
        assert!(!db.write(|tx| credentials::take_totp_window(tx, "s", 6)).await.unwrap());
        assert!(db.write(|tx| credentials::take_totp_window(tx, "s", 8)).await.unwrap());
    }

    async fn a_blob_is_replaced_only_by_whom_has_read_it(db: Db) {
        with_people(&db).await;
        let read = credential("s", "old");
        let first = read.clone();
        db.write(move |tx| credentials::insert(tx, &first, NOW)).await.unwrap();
        let first = read.clone();
        assert!(db.write(move |tx| credentials::replace(tx, &first, "new", "other")).await.unwrap());
        assert!(!db.write(move |tx| credentials::replace(tx, &read, "new", "lost update")).await.unwrap());
        assert_eq!(db.read(credentials::keys_in_use).await.unwrap(), ["new"]);
        assert!(db.read(|tx| credentials::not_sealed_with(tx, "new", 10)).await.unwrap().is_empty());
    }
}
