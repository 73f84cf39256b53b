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
