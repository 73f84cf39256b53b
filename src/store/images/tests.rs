//! Who sees which image, in which order, and what a deleted one leaves.

use super::*;
use crate::cloud::image::list::Listing;
use crate::cloud::image::{MemberStatus, Terms};
use crate::store::testing::store_test;
use crate::store::{Db, image_members};

const NOW: Timestamp = Timestamp(1_000_000);

fn of(owner: &str, name: &str, visibility: Visibility) -> Image {
    let mut image = Image::new(ImageId::random(), Some(owner.into()), NOW);
    image.name = Some(name.to_owned());
    image.visibility = visibility;
    image.disk_format = Some("raw".into());
    image.container_format = Some("bare".into());
    image
}

fn project(name: &str) -> Reach {
    Reach::Project(name.into())
}

async fn add(db: &Db, image: &Image) -> ImageId {
    let image = image.clone();
    db.write(move |tx| insert(tx, &image).map(|()| image.id)).await.unwrap()
}

/// Names of what a project lists, oldest first.
async fn names(db: &Db, reach: &Reach, query: &[(&str, &str)]) -> Vec<String> {
    let pairs = [query, &[("sort", "name:asc")]].concat();
    let (listing, reach) = (Listing::of(&pairs).unwrap(), reach.clone());
    let mine = reach.project().unwrap().cloned();
    let images = db.read(move |tx| list(tx, &reach, mine.as_ref(), &listing, NOW)).await.unwrap();
    images.into_iter().filter_map(|listed| listed.image.name).collect()
}

async fn sees(db: &Db, reach: &Reach, id: ImageId) -> bool {
    let reach = reach.clone();
    db.read(move |tx| get(tx, &reach, id, NOW)).await.is_ok()
}

fn place() -> Place {
    Place { store: "default".to_owned(), blob: BlobId::random() }
}

store_test! {
    async fn each_visibility_is_seen_and_listed_by_whom_it_says(db: Db) {
        let mut ids = HashMap::new();
        for visibility in Visibility::ALL {
            ids.insert(visibility.word(), add(&db, &of("a", visibility.word(), *visibility)).await);
        }
        let (own, other) = (project("a"), project("b"));
        assert_eq!(names(&db, &own, &[]).await, ["community", "private", "public", "shared"]);
        assert_eq!(names(&db, &other, &[]).await, ["public"]);
        assert_eq!(names(&db, &other, &[("visibility", "community")]).await, ["community"]);
        assert_eq!(names(&db, &other, &[("visibility", "all")]).await, ["community", "public"]);
        assert_eq!(names(&db, &Reach::Cloud, &[]).await, ["private", "public", "shared"]);
        for (word, seen) in [("public", true), ("community", true), ("shared", false), ("private", false)] {
            assert!(sees(&db, &own, ids[word]).await);
            assert_eq!(sees(&db, &other, ids[word]).await, seen, "{word}");
        }
    }

    async fn a_shared_image_is_listed_by_whom_accepted_it_and_seen_by_whom_it_was_offered(db: Db) {
        let id = add(&db, &of("a", "shared", Visibility::Shared)).await;
        db.write(move |tx| image_members::insert(tx, id, &"b".into(), &Terms::default(), NOW)).await.unwrap();
        let (b, c) = (project("b"), project("c"));
        assert!(sees(&db, &b, id).await && !sees(&db, &c, id).await);
        assert!(names(&db, &b, &[]).await.is_empty());
        assert_eq!(names(&db, &b, &[("member_status", "pending")]).await, ["shared"]);
        db.write(move |tx| {
            let member = image_members::get(tx, id, &"b".into(), NOW)?.unwrap();
            image_members::answer(tx, &member, MemberStatus::Accepted, NOW)
        }).await.unwrap();
        assert_eq!(names(&db, &b, &[]).await, ["shared"]);
        assert!(names(&db, &c, &[("member_status", "all")]).await.is_empty());
    }

    async fn a_private_image_hides_even_from_those_it_was_once_shared_with(db: Db) {
        let mut image = of("a", "private", Visibility::Shared);
        let id = add(&db, &image).await;
        db.write(move |tx| image_members::insert(tx, id, &"b".into(), &Terms::default(), NOW)).await.unwrap();
        image.visibility = Visibility::Private;
        db.write(move |tx| update(tx, &image, NOW)).await.unwrap();
        assert!(!sees(&db, &project("b"), id).await);
        assert!(names(&db, &project("b"), &[("member_status", "all")]).await.is_empty());
    }

    async fn ossn_0075_the_id_of_a_deleted_image_is_never_given_again(db: Db) {
        let image = of("a", "x", Visibility::Private);
        let id = add(&db, &image).await;
        db.write(move |tx| delete(tx, id, NOW)).await.unwrap();
        let again = db.write(move |tx| insert(tx, &image)).await.unwrap_err();
        assert_eq!(again.to_string(), format!("Image ID {id} already exists!"));
    }

    async fn an_upload_given_up_for_dead_cannot_finish_what_came_after_it(db: Db) {
        let id = add(&db, &of("a", "x", Visibility::Private)).await;
        let (dead, live) = (place(), place());
        let data = Data { size: 5, virtual_size: None, md5: "m".into(), sha512: "s".into() };
        let begun = dead.clone();
        db.write(move |tx| begin_upload(tx, id, &begun, NOW)).await.unwrap();
        let freed = db.write({ let dead = dead.blob; move |tx| abandon_upload(tx, id, dead, NOW) }).await.unwrap();
        assert_eq!(freed, Some(dead.clone()));
        let begun = live.clone();
        db.write(move |tx| begin_upload(tx, id, &begun, NOW)).await.unwrap();
        let late = data.clone();
        let (dead, live, gone) = (dead.blob, live.blob, dead);
        assert!(!db.write(move |tx| finish_upload(tx, id, dead, &late, NOW)).await.unwrap());
        assert!(db.write(move |tx| finish_upload(tx, id, live, &data, NOW)).await.unwrap());
        assert_eq!(db.write(move |tx| abandon_upload(tx, id, live, NOW)).await.unwrap(), None);
        let image = db.read(move |tx| any(tx, id)).await.unwrap();
        assert_eq!((image.status, image.blob, image.size), (Status::Active, Some(live), Some(5)));
        assert_eq!(db.read(blobs::unused).await.unwrap(), [gone]);
    }

    async fn deleting_an_image_gives_up_its_bytes(db: Db) {
        let id = add(&db, &of("a", "x", Visibility::Private)).await;
        let (own, copy) = (place(), Place { store: "slow".into(), ..place() });
        let bytes = [own.clone(), copy.clone()];
        db.write(move |tx| {
            begin_upload(tx, id, &own, NOW)?;
            image_copies::begin(tx, id, &copy, NOW)
        }).await.unwrap();
        assert_eq!(db.write(move |tx| delete(tx, id, NOW)).await.unwrap(), bytes);
        db.write(move |tx| bytes.iter().try_for_each(|place| blobs::forget(tx, place.blob))).await.unwrap();
        assert!(db.read(blobs::known).await.unwrap().is_empty());
    }

    async fn bytes_in_another_store_take_the_place_of_those_that_leave(db: Db) {
        let id = add(&db, &of("a", "x", Visibility::Private)).await;
        let (own, copy) = (place(), Place { store: "slow".into(), ..place() });
        let data = Data { size: 5, virtual_size: None, md5: "m".into(), sha512: "s".into() };
        let (first, second) = (own.clone(), copy.clone());
        db.write(move |tx| {
            begin_upload(tx, id, &first, NOW)?;
            finish_upload(tx, id, first.blob, &data, NOW)?;
            image_copies::begin(tx, id, &second, NOW)?;
            image_copies::finish(tx, id, &second, &data)
        }).await.unwrap();
        let image = db.read(move |tx| any(tx, id)).await.unwrap();
        assert_eq!(image.places, [own.clone(), copy.clone()]);
        let freed = db.write(move |tx| leave(tx, &image, "default", NOW)).await.unwrap();
        assert_eq!(freed, Some(own));
        let image = db.read(move |tx| any(tx, id)).await.unwrap();
        assert_eq!((image.blob, image.places.as_slice()), (Some(copy.blob), [copy].as_slice()));
        assert!(db.write(move |tx| leave(tx, &image, "slow", NOW)).await.is_err(), "the last copy stays");
    }

    async fn a_copy_that_a_dead_copier_left_is_given_up_by_the_next(db: Db) {
        let id = add(&db, &of("a", "x", Visibility::Private)).await;
        let (dead, live) = (place(), place());
        let (first, second) = (dead.clone(), live.clone());
        assert_eq!(db.write(move |tx| image_copies::begin(tx, id, &first, NOW)).await.unwrap(), None);
        assert_eq!(db.write(move |tx| image_copies::begin(tx, id, &second, NOW)).await.unwrap(), Some(dead.clone()));
        let data = Data { size: 5, virtual_size: None, md5: "m".into(), sha512: "s".into() };
        let late = data.clone();
        assert!(!db.write(move |tx| image_copies::finish(tx, id, &dead, &late)).await.unwrap());
        assert!(db.write(move |tx| image_copies::finish(tx, id, &live, &data)).await.unwrap());
    }

    async fn pages_follow_each_other_whatever_the_order(db: Db) {
        for (at, name) in ["c", "a", "b", "a", "d"].into_iter().enumerate() {
            let mut image = of("p", name, Visibility::Private);
            image.created_at = Timestamp(i64::try_from(at).unwrap() % 2);
            add(&db, &image).await;
        }
        for sort in ["name:asc", "name:desc", "created_at:asc,name:desc", "size:asc", "status"] {
            let page = |limit: &'static str, marker: Option<String>| {
                let mut pairs = vec![("sort", sort), ("limit", limit)];
                pairs.extend(marker.as_deref().map(|marker| ("marker", marker)));
                let listing = Listing::of(&pairs).unwrap();
                let db = db.clone();
                async move { db.read(move |tx| list(tx, &project("p"), None, &listing, NOW)).await.unwrap() }
            };
            let whole: Vec<_> = page("100", None).await.into_iter().map(|listed| listed.image.id).collect();
            let mut paged: Vec<ImageId> = Vec::new();
            loop {
                let marker = paged.last().map(ToString::to_string);
                let next = page("2", marker).await;
                if next.is_empty() {
                    break;
                }
                paged.extend(next.into_iter().map(|listed| listed.image.id));
            }
            assert_eq!((paged.len(), paged == whole), (5, true), "{sort}");
        }
    }

    async fn filters_choose_by_every_kind_of_field(db: Db) {
        let mut one = of("p", "one", Visibility::Private);
        one.properties.insert("os_distro".into(), "debian".into());
        one.tags.extend(["x".to_owned(), "y".to_owned()]);
        one.min_ram = 512;
        let mut hidden = of("p", "hidden", Visibility::Private);
        hidden.os_hidden = true;
        let two = of("p", "two", Visibility::Private);
        for image in [&one, &two, &hidden] {
            add(&db, image).await;
        }
        let p = project("p");
        let (id, both) = (one.id.to_string(), format!("in:{},{}", one.id, two.id));
        for (query, expected) in [
            (vec![("os_distro", "debian")], vec!["one"]),
            (vec![("tag", "x"), ("tag", "y")], vec!["one"]),
            (vec![("tag", "x"), ("tag", "z")], vec![]),
            (vec![("name", "in:one,two")], vec!["one", "two"]),
            (vec![("id", id.as_str())], vec!["one"]),
            (vec![("id", both.as_str())], vec!["one", "two"]),
            (vec![("os_hidden", "true")], vec!["hidden"]),
            (vec![("min_ram_min", "100")], vec!["one"]),
            (vec![("owner", "p"), ("status", "queued"), ("disk_format", "raw")], vec!["one", "two"]),
            (vec![("created_at", "lt:1970-01-01T00:00:01Z")], vec![]),
            (vec![("protected", "false"), ("os_distro", "'; DROP TABLE images; --")], vec![]),
        ] {
            assert_eq!(names(&db, &p, &query).await, expected, "{query:?}");
        }
    }
}
