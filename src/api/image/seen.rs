//! An image as one caller sees it: the door every handler goes through.
//!
//! What can't be seen isn't there (404); what is seen and may not be done is refused (403). So an image is looked for as far
//! as its caller sees ([`super::seen_by`]), and then a rule is asked of this very image, with whose it is, its visibility
//! and the caller's membership.

use crate::api::Call;
use crate::api::Context;
use crate::cloud::image::{Image, Member};
use crate::error::{Error, Kind, Result};
use crate::ids::ImageId;
use crate::store::{Tx, image_members, images};

pub struct Seen {
    pub image: Image,
    /// The caller's project's, when the image is another's.
    pub membership: Option<Member>,
}

impl Seen {
    /// # Errors
    /// `NotFound`, also when the caller may not see it.
    pub fn find(tx: &mut Tx, cx: &Context, id: &str) -> Result<Self> {
        let missing = || Error::not_found(Kind::Image, id);
        // Images are projects' things: a token of another scope sees none.
        cx.reach.project().map_err(|_| missing())?;
        let now = cx.state.clock.now();
        let image = images::get(tx, &cx.reach, ImageId::parse(id).ok_or_else(missing)?, now)?;
        let membership = match cx.caller()?.project_id() {
            Some(project) if image.owner.as_ref() != Some(project) => image_members::get(tx, image.id, project, now)?,
            _ => None,
        };
        let seen = Self { image, membership };
        if seen.may(cx, "get_image") { Ok(seen) } else { Err(missing()) }
    }

    pub fn may(&self, cx: &Context, rule: &str) -> bool {
        cx.may_on(rule, &self.image.target(self.membership.as_ref().map(|member| &member.project)))
    }

    /// # Errors
    /// `Forbidden`, naming the rule.
    pub fn allow(&self, cx: &Context, rule: &str) -> Result<()> {
        cx.allow_on(rule, &self.image.target(self.membership.as_ref().map(|member| &member.project)))
    }
}

/// Reads one image and lets `choose` say what of it is wanted.
pub fn read<B, T: Send + 'static, F>(call: &Call<B>, choose: F) -> impl Future<Output = Result<T>> + Send + use<B, T, F>
where
    F: Fn(&mut Tx, &Context, Seen) -> Result<T> + Send + 'static,
{
    // The future holds nothing of the call: a body that streams can't be shared between threads.
    let (cx, id) = (call.cx.clone(), call.path("image_id").to_owned());
    let state = call.cx.state.clone();
    async move { state.db.read(move |tx| Seen::find(tx, &cx, &id).and_then(|seen| choose(tx, &cx, seen))).await }
}

/// Finds one image and changes it, in one transaction.
pub fn write<B, T: Send + 'static, F>(
    call: &Call<B>,
    change: F,
) -> impl Future<Output = Result<T>> + Send + use<B, T, F>
where
    F: Fn(&mut Tx, &Context, Seen) -> Result<T> + Send + 'static,
{
    let (cx, id) = (call.cx.clone(), call.path("image_id").to_owned());
    let state = call.cx.state.clone();
    async move { state.db.write(move |tx| Seen::find(tx, &cx, &id).and_then(|seen| change(tx, &cx, seen))).await }
}
