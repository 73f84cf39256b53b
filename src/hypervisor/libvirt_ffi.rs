//! The one call of libvirt that `virt` has no safe wrapper for: hearing of domains' changes.
//!
//! The events carry nothing here but the news that there is news (see [`super::Hypervisor::events`]), so the callback
//! does the least that a foreign thread can do: it bumps a counter.
#![expect(unsafe_code, reason = "virConnectDomainEventRegisterAny is only in virt-sys")]

use std::os::raw::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::watch;
use virt::connect::Connect;
use virt::error::Error;
use virt_sys as sys;

pub type Changes = watch::Sender<u64>;

/// A registration on a connection. It must be ended before the connection is closed: until then libvirt keeps it open.
#[derive(Debug)]
pub struct Registration(c_int);

/// Bumps `changes` whenever a domain of this connection starts, stops, pauses or goes. The event loop must be running.
pub fn watch_domains(connect: &Connect, changes: Arc<Changes>) -> Result<Registration, Error> {
    // SAFETY: libvirt calls `virConnectDomainEventGenericCallback` through the type that belongs to the event id, which
    // for LIFECYCLE is that of `changed`; casting function pointers to the generic type is how its API is used.
    let callback =
        unsafe { std::mem::transmute::<LifecycleCallback, sys::virConnectDomainEventGenericCallback>(Some(changed)) };
    let opaque = Arc::into_raw(changes).cast_mut().cast::<c_void>();
    // SAFETY: the connection is open while `connect` is borrowed; a null domain means all of them; `opaque` is a
    // counted reference that `release` gives back, which libvirt calls once, after the last callback.
    let id = unsafe {
        sys::virConnectDomainEventRegisterAny(
            connect.as_ptr(),
            std::ptr::null_mut(),
            sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE as c_int,
            callback,
            opaque,
            Some(release),
        )
    };
    if id < 0 {
        let error = Error::last_error();
        // SAFETY: a failed registration does not take `opaque`, so the reference is still ours to give back.
        unsafe { release(opaque) };
        return Err(error);
    }
    Ok(Registration(id))
}

/// Ends a registration. An error means that the connection is broken; then there is nothing left to end.
pub fn unwatch_domains(connect: &Connect, registration: &Registration) {
    // SAFETY: the connection is open while `connect` is borrowed, and an id it does not know is an error, not a fault.
    let _ = unsafe { sys::virConnectDomainEventDeregisterAny(connect.as_ptr(), registration.0) };
}

type LifecycleCallback = sys::virConnectDomainEventCallback;

extern "C" fn changed(
    _connect: sys::virConnectPtr,
    _domain: sys::virDomainPtr,
    _event: c_int,
    _detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: `opaque` is the pointer given at registration, alive until `release`; a watch sender is shared freely.
    let changes = unsafe { &*opaque.cast::<Changes>() };
    // A panic must not cross into C.
    let _ = catch_unwind(AssertUnwindSafe(|| changes.send_modify(|count| *count += 1)));
    0
}

unsafe extern "C" fn release(opaque: *mut c_void) {
    // SAFETY: the caller hands over the reference that `Arc::into_raw` made, once.
    drop(unsafe { Arc::from_raw(opaque.cast::<Changes>()) });
}
