//! Rescuing: another disk to boot from, the own one beside it, and back.

use super::*;
use crate::disks::Part;

#[tokio::test]
async fn a_rescued_server_boots_from_the_other_image_and_finds_its_own_disk_beside_it() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let own = site.cloud.disks.root(id).unwrap();
    let other = image(&site.cloud, b"the bytes of a rescue disk").await;
    let wish = json!({"rescue": {"rescue_image_ref": other.to_string(), "adminPass": "s3cret-word"}});
    let reply = act(&alice, id, wish).await;
    assert_eq!((reply.status, reply.json()), (200, json!({})));
    assert_eq!(show(&alice, id).await["OS-EXT-STS:task_state"], "rescuing");
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "RESCUE");
    let spec = site.cloud.hypervisor.spec(id).unwrap();
    let names: Vec<_> = spec.disks.iter().map(|disk| disk.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["rescue.qcow2", "disk.qcow2", "config.iso"]);
    let rescue = site.cloud.disks.rescue(id).unwrap();
    assert_eq!(
        (rescue.part, rescue.base.sha512),
        (Part::Rescue, hex::encode(Sha512::digest(b"the bytes of a rescue disk")))
    );
    assert_eq!(site.cloud.disks.root(id).unwrap(), own);
    let drive = site.cloud.disks.config_drive(id).unwrap();
    let (_, meta) = drive.files.iter().find(|(path, _)| path == "openstack/latest/meta_data.json").unwrap();
    assert_eq!(serde_json::from_slice::<Value>(meta).unwrap()["admin_pass"], "s3cret-word");
    let refused = act(&alice, id, json!({"reboot": {"type": "HARD"}})).await;
    assert_eq!(message(&refused), format!("Cannot 'reboot' instance {id} while it is in vm_state rescued"));
    assert_eq!(act(&alice, id, json!({"unrescue": null})).await.status, 202);
    site.cloud.work().await;
    assert_eq!(show(&alice, id).await["status"], "ACTIVE");
    assert_eq!((site.cloud.hypervisor.spec(id).unwrap().disks.len(), site.cloud.disks.rescue(id)), (2, None));
    assert_eq!(site.cloud.disks.root(id).unwrap(), own);
}

#[tokio::test]
async fn without_an_image_a_server_is_rescued_with_its_own_and_an_unknown_one_is_refused() {
    let site = Site::new().await;
    let alice = site.cloud.member("alice").await;
    let id = site.boot(&alice, "web").await;
    let nowhere = "11111111-2222-4333-8444-555555555555";
    let refused = act(&alice, id, json!({"rescue": {"rescue_image_ref": nowhere}})).await;
    let text = format!("Requested rescue image '{nowhere}' is not supported");
    assert_eq!((refused.status, message(&refused)), (400, text));
    assert_eq!(act(&alice, id, json!({"rescue": {"unknown": 1}})).await.status, 400);
    assert_eq!(act(&alice, id, json!({"rescue": null})).await.status, 200);
    site.cloud.work().await;
    let (rescue, root) = (site.cloud.disks.rescue(id).unwrap(), site.cloud.disks.root(id).unwrap());
    assert_eq!(rescue.base, root.base);
}
