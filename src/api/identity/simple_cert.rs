//! `OS-SIMPLE-CERT`: the certificates of tokens that went out of use with them.

use crate::api::{Call, Row};
use crate::error::{Error, Result};
use crate::http::reply::RawReply;
use crate::http::table::get;

pub fn rows() -> Vec<Row> {
    vec![get("/v3/OS-SIMPLE-CERT/ca", gone).public(), get("/v3/OS-SIMPLE-CERT/certificates", gone).public()]
}

async fn gone(_: Call) -> Result<RawReply> {
    let text = "This API is no longer available due to the removal of support for PKI tokens.";
    Err(Error::Gone(text.to_owned()))
}
