//! Tests of attributes as SQL against the same in Rust, and pages, on both engines.

use super::testing::store_test;
use super::{Db, groups, projects, users};
use crate::clock::Timestamp;
use crate::cloud::identity::{Group, Project, User};
use crate::cloud::listing::{Listing, Test};
use crate::ids::DomainId;
use serde_json::{Map, json};

const NOW: Timestamp = Timestamp(1);

/// Names with what SQL might take for its own, other scripts, and letters that fold to others.
const NAMES: [&str; 9] = ["web", "Web", "WEBSERVER", "a%b", "a_b", "it's!", "Émile", "日本", "straße"];

async fn with_users(db: &Db) {
    db.write(|tx| {
        let domain = Project {
            id: "d".into(),
            domain_id: None,
            parent_id: None,
            is_domain: true,
            name: "d".to_owned(),
            description: String::new(),
            enabled: true,
            tags: Vec::new(),
            options: Map::new(),
            extra: Map::new(),
        };
        projects::insert(tx, &domain, NOW)?;
        let other = Project { id: "e".into(), name: "e".to_owned(), ..domain };
        projects::insert(tx, &other, NOW)?;
        for (at, name) in NAMES.iter().enumerate() {
            let user = User {
                id: format!("u{at}").as_str().into(),
                domain_id: DomainId::from(if at % 2 == 0 { "d" } else { "e" }),
                name: (*name).to_owned(),
                enabled: at % 3 != 0,
                default_project_id: None,
                description: None,
                email: None,
                password_expires_at: None,
                active_at: None,
                options: Map::new(),
                extra: Map::new(),
            };
            users::insert(tx, &user, NOW)?;
        }
        Ok(())
    })
    .await
    .unwrap();
}

async fn found(db: &Db, listing: Listing) -> Vec<String> {
    let page = db.read(move |tx| users::page(tx, &listing)).await.unwrap();
    page.items.into_iter().map(|user| user.name).collect()
}

store_test! {
    async fn sql_finds_what_the_test_of_a_name_says(db: Db) {
        with_users(&db).await;
        let comparators = [
            None, Some("equals"), Some("contains"), Some("startswith"), Some("endswith"),
            Some("icontains"), Some("istartswith"), Some("iendswith"), Some("iequals"),
        ];
        let texts = ["web", "WEB", "e", "B", "%", "_", "!", "'", "é", "É", "本", "ß", "", "server", "webserverx"];
        for comparator in comparators {
            for text in texts {
                let test = Test::of(comparator, text).unwrap();
                let naive: Vec<&str> =
                    NAMES.into_iter().filter(|name| test.fits(&json!(name), true)).collect();
                let listing = Listing::default().with("name", test);
                assert_eq!(found(&db, listing).await, naive, "{comparator:?} '{text}'");
            }
        }
        let long = Listing::default().with("name", Test::of(Some("icontains"), &"%".repeat(60_000)).unwrap());
        assert!(found(&db, long).await.is_empty());
    }

    async fn all_tests_of_a_listing_hold_at_once(db: Db) {
        with_users(&db).await;
        let listing = Listing::default()
            .with("domain_id", Test::Is("d".to_owned()))
            .with("enabled", Test::Truth(true))
            .with("name", Test::of(Some("icontains"), "S").unwrap());
        assert_eq!(found(&db, listing).await, ["WEBSERVER", "straße"]);
        let nobody = Listing::default().with("domain_id", Test::Is("d".into())).with("domain_id", Test::Is("e".into()));
        assert!(found(&db, nobody).await.is_empty());
        let unknown = Listing::default().with("shoe_size", Test::Is("43".to_owned()));
        assert!(db.read(move |tx| users::page(tx, &unknown)).await.is_err());
    }

    async fn pages_follow_each_other_without_gap_or_overlap(db: Db) {
        with_users(&db).await;
        for limit in 1..=NAMES.len() + 1 {
            let mut all = Vec::new();
            let mut marker = None;
            loop {
                let listing = Listing { marker: marker.clone(), limit, ..Listing::default() };
                let page = db.read(move |tx| users::page(tx, &listing)).await.unwrap();
                assert!(page.items.len() <= limit);
                all.extend(page.items.iter().map(|user| user.name.clone()));
                marker = page.items.last().map(|user| user.id.0.clone());
                if !page.has_more {
                    break;
                }
            }
            assert_eq!(all, NAMES, "{limit} at a time");
        }
        let lost = Listing { marker: Some("none".to_owned()), ..Listing::default() };
        let refused = db.read(move |tx| users::page(tx, &lost)).await.unwrap_err();
        assert_eq!(refused.to_string(), "Marker none could not be found.");
    }

    async fn ids_are_looked_up_in_lots_of_any_size(db: Db) {
        with_users(&db).await;
        db.write(|tx| {
            for number in 0..205 {
                let id = format!("g{number:03}");
                let group = Group {
                    id: id.as_str().into(),
                    domain_id: "d".into(),
                    name: id.clone(),
                    description: String::new(),
                    extra: Map::new(),
                };
                groups::insert(tx, &group, NOW)?;
            }
            Ok(())
        })
        .await
        .unwrap();
        for count in [0, 1, 99, 100, 101, 205] {
            let ids: Vec<String> = (0..count).map(|number| format!("g{number:03}")).collect();
            let wanted = ids.clone();
            let mut named = db
                .read(move |tx| groups::names(tx, &wanted.iter().map(String::as_str).collect::<Vec<_>>()))
                .await
                .unwrap();
            named.sort();
            assert_eq!(named.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), ids);
        }
    }
}
