//! How SQLite means to answer the questions that each request asks: from indexes, never by going through a table that
//! grows with the cloud. It decides from the schema alone, so an empty database tells what a full one would do.

use super::tx::Statements;
use super::value::{Row, Value};
use super::{
    Db, Tx, application_credentials, assignments, blobs, epoch, image_members, images, placement, projects,
    revocations, roles, servers, testing, users,
};
use crate::clock::Timestamp;
use crate::cloud::identity::{Actor, Target};
use crate::cloud::image::list::Listing as ImageListing;
use crate::cloud::image::{Image, MemberStatus, Place, Terms};
use crate::cloud::listing::{Listing, Test};
use crate::cloud::placement::{Request, Rules};
use crate::cloud::policy::Reach;
use crate::cloud::token::Claims;
use crate::error::Result;
use crate::ids::{BlobId, ImageId, UserId};

/// Tables that stay small.
const SMALL: [&str; 1] = ["implied_roles"];

/// A transaction whose queries are explained before they run.
struct Explained<'t, 'db> {
    tx: &'t mut Tx<'db>,
    plans: Vec<(String, Vec<String>)>,
}

impl Statements for Explained<'_, '_> {
    fn execute(&mut self, sql: &str, args: &[Value]) -> Result<u64> {
        self.tx.execute(sql, args)
    }

    fn query(&mut self, sql: &str, args: &[Value], take: &mut dyn FnMut(Row) -> Result<()>) -> Result<()> {
        let mut steps = Vec::new();
        for mut row in self.tx.query(&format!("EXPLAIN QUERY PLAN {sql}"), args)? {
            let (_id, _parent, _unused) = (row.next::<i64>()?, row.next::<i64>()?, row.next::<i64>()?);
            steps.push(row.next::<String>()?);
        }
        self.plans.push((sql.to_owned(), steps));
        self.tx.query(sql, args)?.into_iter().try_for_each(take)
    }

    fn batch(&mut self, sql: &str) -> Result<()> {
        self.tx.batch(sql)
    }
}

/// A user `u` who holds the role `r` on the project `p` of the domain `d`, so that no question ends early.
const ROWS: &str = "
    INSERT INTO projects (id, domain_id, parent_id, is_domain, name, name_key, description, enabled, options, extra,
                          created_at)
    VALUES ('d', NULL, NULL, 1, 'd', 'd', '', 1, '{}', '{}', 1), ('p', 'd', 'd', 0, 'p', 'p', '', 1, '{}', '{}', 1);
    INSERT INTO users (id, domain_id, name, name_key, enabled, options, extra, failed_logins, created_at)
    VALUES ('u', 'd', 'u', 'u', 1, '{}', '{}', 0, 1);
    INSERT INTO roles (id, name, name_key, options, extra, created_at) VALUES ('r', 'r', 'r', '{}', '{}', 1);
    INSERT INTO assignments (role_id, user_id, project_id, is_system, inherited) VALUES ('r', 'u', 'p', 0, 0)";

/// The plans of all that a closure asks.
async fn plans(closure: impl Fn(&mut Tx) -> Result<()> + Send + 'static) -> Vec<(String, Vec<String>)> {
    let db: Db = testing::sqlite().await;
    db.write(|tx| tx.batch(ROWS)).await.unwrap();
    let plans = db.read(move |tx| {
        let mut explained = Explained { tx, plans: Vec::new() };
        Tx::run(&mut explained, &closure)?;
        Ok(explained.plans)
    });
    plans.await.unwrap()
}

/// The steps that go through a whole table.
fn scans(steps: &[String]) -> Vec<&String> {
    let is_scan = |step: &&String| {
        let scanned = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
        scanned.is_some_and(|table| table != "CONSTANT" && !SMALL.contains(&table))
    };
    steps.iter().filter(is_scan).collect()
}

fn claims() -> Claims {
    Claims {
        sub: "u".into(),
        iat: 1,
        exp: 2,
        methods: Vec::new(),
        audit_ids: vec!["a".to_owned(), "b".to_owned()],
        system: None,
        domain_id: None,
        project_id: Some("p".into()),
        application_credential_id: None,
        trust_id: None,
        issued_at: Timestamp(1),
    }
}

#[tokio::test]
async fn what_a_token_or_a_login_asks_is_answered_from_indexes() {
    let plans = plans(|tx| {
        let (user, project, domain) = (UserId::from("u"), "p".into(), "d".into());
        epoch::current(tx)?;
        revocations::covers(tx, &claims())?;
        users::get(tx, &user)?;
        users::by_name(tx, &domain, "name")?;
        users::holder(tx, &user)?;
        users::password(tx, &user)?;
        projects::get(tx, &project)?;
        projects::by_name(tx, &domain, "name")?;
        projects::domain(tx, &domain)?;
        projects::domain_by_name(tx, "name")?;
        projects::domain_ref(tx, &domain)?;
        projects::place(tx, &project)?;
        application_credentials::by_id(tx, "id")?;
        application_credentials::by_name(tx, &user, "name")?;
        for target in [Target::System, Target::Domain(domain), Target::Project(project)] {
            roles::effective(tx, &user, &target)?;
            for actor in [Actor::User(user.clone()), Actor::Group("g".into())] {
                assignments::of(tx, &actor, &target, false)?;
            }
        }
        Ok(())
    })
    .await;
    assert!(plans.len() > 20);
    for (sql, steps) in &plans {
        assert!(scans(steps).is_empty(), "{sql}\n{steps:#?}");
    }
}

/// Those of one user or group on one thing: not all of theirs, of which an administrator may have thousands.
#[tokio::test]
async fn roles_are_found_by_who_and_on_what_at_once() {
    let plans = plans(|tx| {
        roles::effective(tx, &"u".into(), &Target::Project("p".into()))?;
        roles::effective(tx, &"u".into(), &Target::Domain("d".into()))?;
        roles::effective(tx, &"u".into(), &Target::System).map(drop)
    })
    .await;
    let on_assignments = plans.iter().flat_map(|(_, steps)| steps).filter(|step| step.starts_with("SEARCH a "));
    let looks: Vec<&String> = on_assignments.collect();
    assert_eq!(looks.len(), 10, "{plans:#?}");
    for look in looks {
        let by_both = look.contains("_id=? AND project_id=?");
        assert!(by_both, "{look}");
    }
}

/// However many servers there are: hosts' rows know what is claimed of each, and what is worked on has an index of its own.
#[tokio::test]
async fn a_decision_about_a_place_goes_through_hosts_and_nothing_that_grows_with_servers() {
    let plans = plans(|tx| {
        let asks = |name: &str| (name.to_owned(), "x".to_owned());
        let extra_specs = ["ssd", "trait:HW_CPU_X86_AVX", "capabilities:cpu_info:model"].map(asks).into();
        let request = Request { extra_specs, physical_networks: ["p".to_owned()].into(), ..Request::default() };
        placement::candidates(tx, &request, &Rules::default(), Timestamp(1)).map(drop)
    })
    .await;
    let steps: Vec<&String> = plans.iter().flat_map(|(_, steps)| steps).collect();
    let expected = [
        "SCAN host_kinds",
        "SEARCH servers USING INDEX servers_busy (host_id>?)",
        "SCAN aggregate_metadata",
        "SCAN hosts",
    ];
    assert_eq!(steps, expected, "{plans:#?}");
}

#[tokio::test]
async fn users_are_listed_in_the_order_of_an_index() {
    let page = |name: Option<&str>, domain: Option<&str>| {
        let mut listing = Listing { limit: 1000, ..Listing::default() };
        listing.tests.extend(name.map(|name| ("name", Test::Is(name.to_owned()))));
        listing.tests.extend(domain.map(|domain| ("domain_id", Test::Is(domain.to_owned()))));
        listing
    };
    let lists = [page(None, None), page(None, Some("d")), page(Some("x"), None), page(Some("x"), Some("d"))];
    let plans = plans(move |tx| lists.iter().try_for_each(|listing| users::page(tx, listing).map(drop))).await;
    let first_steps: Vec<&str> = plans.iter().map(|(_, steps)| steps[0].as_str()).collect();
    assert_eq!(
        first_steps,
        [
            "SCAN u USING INDEX sqlite_autoindex_users_1",
            "SEARCH u USING INDEX users_domain (domain_id=?)",
            "SEARCH u USING INDEX users_name (name_key=?)",
            "SEARCH u USING INDEX sqlite_autoindex_users_2 (domain_id=? AND name_key=?)",
        ],
        "{plans:#?}"
    );
    for (sql, steps) in &plans[..2] {
        assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{sql}\n{steps:#?}");
    }
}

/// Pages of images, newest first: what a project sees, what everybody does, from a marker on.
#[tokio::test]
async fn a_page_of_images_is_read_from_indexes_in_their_order() {
    let pages =
        [vec![], vec![("visibility", "all")], vec![("member_status", "pending")], vec![("visibility", "shared")]];
    for pairs in pages {
        for reach in [Reach::Project("p".into()), Reach::Cloud] {
            let (listing, whose) = (ImageListing::of(&pairs).unwrap(), reach.clone());
            let mine = "p".into();
            let plans = plans(move |tx| images::list(tx, &whose, Some(&mine), &listing, Timestamp(1)).map(drop)).await;
            let (sql, steps) = &plans[0];
            // Only an administrator's page goes through images, in the order of an index and no further than it is long.
            let scans: Vec<_> = scans(steps)
                .into_iter()
                .filter(|step| !["SCAN k", "SCAN u", "SCAN p"].contains(&step.as_str()))
                .collect();
            let expected: &[&str] = match reach {
                Reach::Cloud => &["SCAN i USING INDEX images_created"],
                _ => &[],
            };
            let is_narrow = pairs == [("visibility", "shared")] && expected.len() == 1;
            assert!(scans == expected || is_narrow && scans.is_empty(), "{pairs:?} {sql}\n{steps:#?}");
            for step in steps.iter().filter(|step| step.starts_with("SEARCH i ")) {
                let by = [
                    "images_owner (owner=?",
                    "images_owner_visibility (owner=? AND visibility=?",
                    "images_visibility (visibility=?",
                    "sqlite_autoindex_images_1 (id=?",
                ];
                assert!(by.iter().any(|index| step.contains(index)), "{step}\n{steps:#?}");
                // Own images of another visibility may be very many.
                let of_one = pairs == [("visibility", "shared")];
                assert!(!(of_one && step.contains("images_owner (")), "{step}\n{steps:#?}");
            }
        }
    }
}

/// The marker enters the index; a page far behind costs what the first does.
#[tokio::test]
async fn a_page_from_a_marker_on_begins_in_the_index() {
    let id = ImageId::random();
    let marker = id.to_string();
    let listing = ImageListing::of(&[("marker", marker.as_str())]).unwrap();
    let db: Db = testing::sqlite().await;
    db.write(move |tx| images::insert(tx, &Image::new(id, Some("p".into()), Timestamp(1)))).await.unwrap();
    let plans = db.read(move |tx| {
        let mut explained = Explained { tx, plans: Vec::new() };
        let reach = Reach::Project("p".into());
        Tx::run(&mut explained, &|tx| images::list(tx, &reach, None, &listing, Timestamp(1)).map(drop))?;
        Ok(explained.plans)
    });
    let plans = plans.await.unwrap();
    let (sql, steps) = plans.iter().find(|(sql, _)| sql.contains("page_id")).unwrap();
    let own = steps.iter().find(|step| step.contains("images_owner")).unwrap();
    assert!(
        own.contains("owner=? AND (created_at,id)<(?,?)") || own.contains("owner=? AND created_at<?"),
        "{sql}\n{own}"
    );
}

/// However many servers others have, and wherever among its own a project's page begins.
#[tokio::test]
async fn a_page_of_a_projects_servers_is_read_from_its_own_index_in_its_order() {
    let all = servers::Filter { deleted: Some(false), ..servers::Filter::default() };
    let newest = servers::Filter { newest: Some((10, None)), ..all.clone() };
    for filter in [all.clone(), newest] {
        let plans = plans(move |tx| servers::list(tx, &Reach::Project("p".into()), &filter).map(drop)).await;
        let (sql, steps) = &plans[0];
        assert_eq!(steps[0], "SEARCH s USING INDEX servers_listed (project_id=?)", "{sql}");
        assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{sql}\n{steps:#?}");
    }
    let plans = plans(move |tx| servers::list(tx, &Reach::Cloud, &all).map(drop)).await;
    assert_eq!(plans[0].1[0], "SCAN s USING INDEX servers_all");
}

#[tokio::test]
async fn a_page_of_images_asks_as_much_of_the_database_however_many_are_on_it() {
    let db: Db = testing::sqlite().await;
    let mut asked = Vec::new();
    for count in [1, 20, 200] {
        db.write(move |tx| {
            for _ in 0..count {
                let mut image = Image::new(ImageId::random(), Some("other".into()), Timestamp(1));
                image.properties.insert("os_distro".to_owned(), "debian".to_owned());
                images::insert(tx, &image)?;
                let member = image_members::insert(tx, image.id, &"p".into(), &Terms::default(), Timestamp(1))?;
                image_members::answer(tx, &member, MemberStatus::Accepted, Timestamp(1))?;
            }
            Ok(())
        })
        .await
        .unwrap();
        let listing = ImageListing::of(&[("limit", "1000")]).unwrap();
        let counted = db.read(move |tx| {
            let mut counted = Counted { tx, statements: Vec::new() };
            let (reach, mine) = (Reach::Project("p".into()), "p".into());
            let listed = Tx::run(&mut counted, &|tx| images::list(tx, &reach, Some(&mine), &listing, Timestamp(1)))?;
            assert!(listed.iter().all(|listed| listed.membership.is_some()));
            Ok((listed.len(), counted.statements.len()))
        });
        asked.push(counted.await.unwrap());
    }
    assert_eq!(asked, [(1, 5), (21, 5), (221, 5)]);
}

/// What an upload's last step asks of the database tells by its time and its work nothing of what others keep.
#[tokio::test]
async fn the_end_of_an_upload_asks_the_same_whether_or_not_others_have_its_bytes() {
    let db: Db = testing::sqlite().await;
    let mut asked = Vec::new();
    for _ in 0..3 {
        let (id, place) = (ImageId::random(), Place { store: "default".to_owned(), blob: BlobId::random() });
        let begun = place.clone();
        db.write(move |tx| {
            images::insert(tx, &Image::new(id, None, Timestamp(1)))?;
            images::begin_upload(tx, id, &begun, Timestamp(1))
        })
        .await
        .unwrap();
        let data = images::Data { size: 4, virtual_size: None, md5: "m".to_owned(), sha512: "s".to_owned() };
        let counted = db.write(move |tx| {
            let mut counted = Counted { tx, statements: Vec::new() };
            Tx::run(&mut counted, &|tx| images::finish_upload(tx, id, place.blob, &data, Timestamp(2)))?;
            Ok(counted.statements)
        });
        asked.push(counted.await.unwrap());
    }
    assert_eq!(db.read(blobs::unused).await.unwrap().len(), 2, "the second and the third found the first");
    assert!(asked[0].len() >= 5);
    // The statements and how many rows each changed; what the look-up found is no part of it.
    assert_eq!(asked[0], asked[1]);
    assert_eq!(asked[1], asked[2]);
}

/// A transaction that notes what is asked, and how many rows each statement changed.
struct Counted<'t, 'db> {
    tx: &'t mut Tx<'db>,
    statements: Vec<(String, u64)>,
}

impl Statements for Counted<'_, '_> {
    fn execute(&mut self, sql: &str, args: &[Value]) -> Result<u64> {
        let changed = self.tx.execute(sql, args)?;
        self.statements.push((sql.to_owned(), changed));
        Ok(changed)
    }

    fn query(&mut self, sql: &str, args: &[Value], take: &mut dyn FnMut(Row) -> Result<()>) -> Result<()> {
        self.statements.push((sql.to_owned(), 0));
        self.tx.query(sql, args)?.into_iter().try_for_each(take)
    }

    fn batch(&mut self, sql: &str) -> Result<()> {
        self.tx.batch(sql)
    }
}
