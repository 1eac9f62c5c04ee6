//! Addresses that take no parameters: what somebody writes behind the `?` there would change nothing, and is refused
//! instead of being passed over. Those that take some refuse others themselves ([`super::extract::Parameters`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::{OpenApi, RefOr};

use super::problem::Refusal;

/// The methods and addresses that take parameters, as the OpenAPI document says.
#[derive(Clone, Debug)]
pub(super) struct Taking(Arc<BTreeSet<(String, String)>>);

impl Taking {
    pub(super) fn of(document: &OpenApi) -> Self {
        let takes = |operation: &Operation| {
            let parameters = operation.parameters.iter().flatten();
            parameters.into_iter().any(|parameter| match parameter {
                RefOr::T(parameter) => matches!(parameter.parameter_in, ParameterIn::Query),
                RefOr::Ref(_) => false,
            })
        };
        let taking = document.paths.paths.iter().flat_map(|(path, item)| {
            let methods = methods(item).into_iter();
            let methods = methods.filter(|(_, operation)| operation.is_some_and(takes));
            methods.map(|(method, _)| (method.to_string(), path.clone()))
        });
        Self(Arc::new(taking.collect()))
    }
}

fn methods(item: &PathItem) -> [(Method, Option<&Operation>); 4] {
    [
        (Method::GET, item.get.as_ref()),
        (Method::POST, item.post.as_ref()),
        (Method::PUT, item.put.as_ref()),
        (Method::DELETE, item.delete.as_ref()),
    ]
}

/// Refuses parameters where there are none.
pub(super) async fn refuse_others(
    State(Taking(taking)): State<Taking>,
    request: Request,
    next: Next,
) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let path = request.extensions().get::<MatchedPath>();
    // What watches the process may add what it likes to the addresses that are not of the API.
    let path = path
        .map(MatchedPath::as_str)
        .filter(|path| path.starts_with("/v1/"));
    if let Some(path) = path.filter(|_| !query.is_empty()) {
        let method = match *request.method() {
            Method::HEAD => Method::GET.to_string(),
            ref method => method.to_string(),
        };
        if !taking.contains(&(method, path.to_owned())) {
            let name = query.split(['=', '&']).next().unwrap_or_default();
            let message = format!("there is no parameter `{name}` here; this address takes none");
            return Refusal::bad(message).into_response();
        }
    }
    next.run(request).await
}
