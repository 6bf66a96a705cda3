//! `List`: the messages that are remembered, page by page.

use tonic::Status;
use zipnet_proto::Reason;
use zipnet_proto::v1::{ListRequest, ListResponse, MessageState};

use super::backend::{Caller, ListPage};
use super::{Service, check_id, deny};
use crate::core::config::MAX_PAGE;

/// Messages on a page whose caller does not say how many.
const DEFAULT_PAGE: usize = 100;

pub(super) async fn list(
    service: &Service,
    caller: Caller,
    request: ListRequest,
) -> Result<ListResponse, Status> {
    let ListRequest { states, limit, page } = request;
    check_id(&page)?;
    let mut wanted = Vec::new();
    for number in states {
        let state = MessageState::try_from(number).ok().filter(|s| *s != MessageState::Unspecified);
        let state = state.ok_or_else(|| {
            Reason::InvalidRequest.into_status(format!("{number} is not the number of a message state"))
        })?;
        if !wanted.contains(&state) {
            wanted.push(state);
        }
    }
    let limit = if limit == 0 { DEFAULT_PAGE } else { (limit as usize).min(MAX_PAGE) };
    let page = ListPage { states: wanted, limit, after: Some(page).filter(|page| !page.is_empty()) };
    service.backend.list(caller, page).await.map_err(deny)
}
