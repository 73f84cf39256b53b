//! Whatever work is under way on a server, and however far it is, the server may be deleted.

use super::*;
use crate::tasks::testing::{Meanwhile, Twice, When};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does the work twice for each of its steps: with the deed done before the step, and after it. What is left is looked at.
/// Work that is about no server is passed over.
async fn interrupt<D, L, F>(work: Work, deletes_softly: bool, deed: D, look: L)
where
    D: Fn(Client, ServerId) -> BoxFuture<'static, ()> + Copy + Send + Sync + 'static,
    L: Fn(Place, ServerId) -> F,
    F: Future<Output = ()>,
{
    let place = work.place_where(deletes_softly).await;
    if place.subject.server().is_none() {
        return;
    }
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = taken.clone();
    run(&place, work.kind(), |inner| Box::new(Twice { inner, taken: counted })).await;
    for step in 0..taken.load(Ordering::SeqCst) {
        for when in [When::Before, When::After] {
            eprintln!("{work:?}: deleted {when:?} step {step}");
            let place = work.place_where(deletes_softly).await;
            let Some(id) = place.subject.server() else { continue };
            let alice = place.alice.clone();
            let happens = move || deed(alice.clone(), id);
            run(&place, work.kind(), |inner| {
                Box::new(Meanwhile { inner, step, when, happens, taken: AtomicUsize::new(0) })
            })
            .await;
            look(place, id).await;
        }
    }
}

/// Who deletes the server gets rid of it, and of all that belonged to it.
#[tokio::test]
async fn a_server_deleted_in_the_middle_of_any_work_is_gone_and_leaves_nothing() {
    let delete = |alice: Client, id| -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // Work that is to delete it may be done with that.
            let reply = act(&alice, id, json!({"forceDelete": null})).await;
            assert!([202, 404].contains(&reply.status), "{}", reply.json());
        })
    };
    for work in every_work() {
        interrupt(work, work.deletes_softly(), delete, |place, id| async move { place.is_gone(id).await }).await;
    }
}

/// As above, where deleting can be taken back: whoever restores the server has it as its rows say, with its own disk, and
/// nothing half done beside it.
#[tokio::test]
async fn a_server_deleted_softly_in_the_middle_of_any_work_and_restored_is_whole() {
    let delete = |alice: Client, id| -> BoxFuture<'static, ()> {
        Box::pin(async move {
            assert_eq!(alice.delete(&format!("{PATH}/servers/{id}")).await.status, 204);
        })
    };
    for work in every_work().filter(|work| !matches!(work, Work::Delete | Work::Power(Power::SoftDelete))) {
        interrupt(work, true, delete, |place, id| async move { place.comes_back(id).await }).await;
    }
}

/// Its host is lost at any point of a move, and whoever says so evacuates it: unless it has left by then, or somebody is just
/// finishing, it is built anew, and in the end it runs on one host and has left nothing on any other.
#[tokio::test]
async fn a_server_evacuated_in_the_middle_of_any_move_runs_once() {
    for work in [Work::MigrateLive, Work::MigrateCold, Work::ResizeAway] {
        let place = work.place().await;
        let taken = Arc::new(AtomicUsize::new(0));
        let counted = taken.clone();
        run(&place, work.kind(), |inner| Box::new(Twice { inner, taken: counted })).await;
        let mut evacuated = 0;
        for step in 0..taken.load(Ordering::SeqCst) {
            for when in [When::Before, When::After] {
                for is_silent in [false, true] {
                    let place = work.place().await;
                    evacuated += usize::from(evacuate_at(place, work, (step, when), is_silent).await);
                }
            }
        }
        assert!(evacuated > 6, "{work:?}: {evacuated}");
    }
}

/// Was it let?
async fn evacuate_at(place: Place, work: Work, (step, when): (usize, When), is_silent: bool) -> bool {
    let id = place.subject.server().unwrap();
    let (admin, lost) = (place.site.cloud.admin().await, place.site.cloud.hosts[0].hypervisor.clone());
    let accepted = Arc::new(AtomicUsize::new(0));
    let (asked, silent, state) = (accepted.clone(), lost.clone(), place.site.cloud.state.clone());
    let happens = move || -> BoxFuture<'static, ()> {
        let (admin, lost, asked) = (admin.clone(), silent.clone(), asked.clone());
        // After what it calls off.
        state.clock.advance_seconds(1);
        Box::pin(async move {
            let down = json!({"host": "host-1", "binary": "nova-compute", "forced_down": true});
            let path = format!("{PATH}/os-services/force-down");
            assert_eq!(at(&admin, "2.11", http::Method::PUT, &path, &down).await.status, 200);
            lost.set_away(is_silent);
            let path = format!("{PATH}/servers/{id}/action");
            let reply = at(&admin, "2.94", http::Method::POST, &path, &json!({"evacuate": {}})).await;
            assert!([200, 409].contains(&reply.status), "{}", reply.text());
            asked.fetch_add(usize::from(reply.status == 200), Ordering::SeqCst);
        })
    };
    run(&place, work.kind(), |inner| {
        let inner: Box<dyn AnyWorkflow> = Box::new(Twice { inner, taken: Arc::default() });
        Box::new(Meanwhile { inner, step, when, happens, taken: AtomicUsize::new(0) })
    })
    .await;
    let was_let = accepted.load(Ordering::SeqCst) > 0;
    eprintln!("{work:?}, {when:?} step {step}, silent: {is_silent}: {}", if was_let { "evacuated" } else { "refused" });
    lost.set_away(false);
    force_down(&place.site, false).await;
    for _ in 0..3 {
        place.wait().await;
        place.site.cloud.work().await;
    }
    let shown = show(&place.alice, id).await;
    if !was_let && shown["status"] == "VERIFY_RESIZE" {
        assert_eq!(act(&place.alice, id, json!({"confirmResize": null})).await.status, 204);
        place.site.cloud.work().await;
    }
    let memory = i64::try_from(place.memory(id)).unwrap();
    place.is_only_here(id, memory).await;
    assert!(!was_let || place.at(id).name == "host-2", "it is not where it was given up");
    was_let
}
