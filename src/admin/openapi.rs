//! `/openapi.json`: the document of the API, made from the handlers themselves, and what holds for all of
//! them: tokens, problems, keys of writes.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::PartialSchema;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    Required, ResponseBuilder,
};

use super::Admin;
use super::problem::Problem;
use super::routes::{self, Found};
use crate::base::limits;
use crate::security::access::Role;

/// The document
#[utoipa::path(
    get, path = "/openapi.json", tag = "monitor",
    responses((status = 200, body = Object))
)]
pub(super) async fn show(State(admin): State<Admin>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, admin.document).into_response()
}

/// What the document says before any route.
pub(super) fn about() -> OpenApi {
    let licence = LicenseBuilder::new()
        .name("Apache-2.0")
        .identifier(Some("Apache-2.0"))
        .build();
    let info = InfoBuilder::new()
        .title("Posgate")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "The admin API of a POS terminal gateway. docs/admin-api.md explains roles, keys of writes, \
             versions and problems.",
        ))
        .license(Some(licence))
        .build();
    let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = ComponentsBuilder::new()
        .security_scheme("token", token)
        .schema("Problem", Problem::schema())
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([SecurityRequirement::new("token", [""; 0])]))
        .build()
}

/// Adds to every operation what holds for all.
pub(super) fn completed(mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            // Several files have a `show` and a `list`.
            operation.operation_id = Some(named(method, path));
            if let Found::Roles(roles) = routes::roles(method, path) {
                let mut told = operation.description.take().unwrap_or_default();
                if !told.is_empty() {
                    told.push_str("\n\n");
                }
                for (act, roles) in routes::acts(path) {
                    told.push_str(&format!("- `{act}`: {}\n", names(roles)));
                }
                if !told.is_empty() && !told.ends_with("\n\n") {
                    told.push('\n');
                }
                told.push_str(&format!("Roles: {}.", names(roles)));
                operation.description = Some(told);
            }
            for parameter in operation.parameters.iter_mut().flatten() {
                if let RefOr::T(parameter) = parameter
                    && parameter.name == "If-Match"
                {
                    let etag = ObjectBuilder::new()
                        .schema_type(Type::String)
                        .pattern(Some("^([*]|\"[0-9]{1,9}\")$"));
                    parameter.schema = Some(etag.into());
                }
            }
            if method != "GET" {
                operation
                    .parameters
                    .get_or_insert_default()
                    .push(key_parameter().into());
            }
            operation
                .responses
                .responses
                .insert("default".into(), problem().into());
        }
    }
    document
}

fn names(roles: &[Role]) -> String {
    let names: Vec<_> = roles.iter().map(|role| role.name()).collect();
    names.join(", ")
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    [
        ("GET", &mut item.get),
        ("PUT", &mut item.put),
        ("POST", &mut item.post),
        ("DELETE", &mut item.delete),
        ("PATCH", &mut item.patch),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// A name that no other operation has, as `put_terminals_state`.
fn named(method: &str, path: &str) -> String {
    let words = path
        .split('/')
        .filter(|word| !word.is_empty() && *word != "v1");
    let mut name = method.to_ascii_lowercase();
    for word in words {
        name.push('_');
        let word = word.strip_prefix('{').map_or_else(
            || word.replace(['.', '-'], "_"),
            |inner| format!("by_{}", inner.trim_end_matches('}')),
        );
        name.push_str(&word);
    }
    name
}

fn key_parameter() -> utoipa::openapi::path::Parameter {
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::True)
        .description(Some(
            "A text of the caller's own, new for each thing to be done. Who asks again under the same key within \
             24 hours gets the first answer, marked `Idempotent-Replayed: true`; with other content, 422.",
        ))
        .schema(Some(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .min_length(Some(1))
                .max_length(Some(limits::KEY_CHARS_MAX))
                .pattern(Some("^[!-~]+$")),
        ))
        .build()
}

fn problem() -> utoipa::openapi::Response {
    let content = Content::new(Some(RefOr::<utoipa::openapi::Schema>::Ref(
        Ref::from_schema_name("Problem"),
    )));
    let wait = HeaderBuilder::new()
        .schema(Some(
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32))),
        ))
        .description(Some("Seconds; with 429"))
        .build();
    ResponseBuilder::new()
        .description("Refused or failed (RFC 9457)")
        .header("Retry-After", wait)
        .content("application/problem+json", content)
        .build()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What a client that is made from the document gets as a type. The document itself is described by OpenAPI.
    #[test]
    fn answers_have_a_schema() {
        let document: serde_json::Value =
            serde_json::from_str(&crate::admin::document().to_json().unwrap()).unwrap();
        let mut plain = BTreeSet::new();
        let mut typed = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for operation in item.as_object().unwrap().values() {
                let schema =
                    &operation["responses"]["200"]["content"]["application/json"]["schema"];
                match (schema["$ref"].as_str(), schema["type"].as_str()) {
                    (Some(_), _) => typed += 1,
                    (None, Some("object")) => drop(plain.insert(path.as_str())),
                    (None, _) => {}
                }
                let asked = &operation["requestBody"]["content"]["application/json"]["schema"];
                assert_ne!(asked["type"], "object", "{path}");
            }
        }
        assert_eq!(plain, ["/openapi.json"].into_iter().collect());
        assert!(typed > 50, "{typed}");
        for (path, item) in document["paths"].as_object().unwrap() {
            for operation in item.as_object().unwrap().values() {
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let name = parameter["name"].as_str().unwrap();
                    let in_address = path.contains(&format!("{{{name}}}"));
                    assert_eq!(parameter["in"] == "path", in_address, "{name} of {path}");
                }
            }
        }
        let schemas = &document["components"]["schemas"];
        assert!(schemas["Transaction"]["properties"]["amount"].is_object());
        for bare in schemas.as_object().unwrap().values() {
            let members = bare["properties"].as_object().into_iter().flatten();
            for (name, member) in members {
                assert_ne!(
                    *member,
                    serde_json::json!({ "type": "object" }),
                    "{name} of {bare}"
                );
            }
        }
    }

    #[test]
    fn every_route_has_roles_and_every_role_has_its_route() {
        let mut document = crate::admin::document();
        let documented: BTreeSet<_> = document
            .paths
            .paths
            .iter_mut()
            .flat_map(|(path, item)| {
                let of = |(method, _)| (method, path.clone());
                operations(item).map(of).collect::<Vec<_>>()
            })
            .collect();
        let ruled: BTreeSet<_> = routes::ROUTES
            .iter()
            .map(|(method, path, _)| (*method, (*path).to_owned()))
            .collect();
        assert_eq!(
            documented, ruled,
            "the routers' routes (left) and admin/routes.rs (right) differ"
        );
        assert_eq!(
            ruled.len(),
            routes::ROUTES.len(),
            "a route stands there twice"
        );
        assert!(routes::ROUTES.iter().all(|(.., roles)| !roles.is_empty()));
        // Who may come to an address that does several things is who may do one of them.
        for (path, ..) in routes::ACTS {
            let of_acts: BTreeSet<_> = routes::acts(path).flat_map(|(_, roles)| roles).collect();
            let Found::Roles(of_route) = routes::roles("POST", path) else {
                panic!("{path} is no route");
            };
            assert_eq!(of_acts, of_route.iter().collect(), "{path}");
        }
    }

    #[test]
    fn no_router_adds_a_route_behind_the_documents_back() {
        // `OpenApiRouter::routes` is the only way that enters a route into the document as well.
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|ending| ending != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for way in [".route", ".route_service", ".nest_service"] {
                let way = format!("{way}(");
                assert!(!text.contains(&way), "{} calls {way}", path.display());
            }
        }
    }

    #[test]
    fn operations_have_names_of_their_own_and_writes_a_key() {
        let mut document = crate::admin::document();
        let mut names = BTreeSet::new();
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                let name = operation.operation_id.clone().unwrap();
                assert!(names.insert(name.clone()), "{name} is there twice");
                let keyed = operation.parameters.iter().flatten();
                let keyed = keyed.filter(|parameter| match parameter {
                    RefOr::T(parameter) => parameter.name == "Idempotency-Key",
                    RefOr::Ref(_) => false,
                });
                assert_eq!(keyed.count() == 1, method != "GET", "{method} {path}");
            }
        }
    }
}
