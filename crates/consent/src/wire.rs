//! What is asked and answered over HTTP: JSON of version 1, told in `openapi.json`.

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use vigie_choices::{Choice, Recorded, State, jsonld::hex};

/// Choices of one request at most.
pub(crate) const MOST_CHOICES: usize = 100;

/// `POST …/choices`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub choices: Vec<Asked>,
    #[serde(flatten)]
    pub evidence: Evidence,
}

/// One choice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    pub purpose: String,
    #[serde(default)]
    pub recipient: String,
    pub state: String,
}

/// `POST …/withdrawals`.
#[derive(Debug, Deserialize)]
pub(crate) struct Withdraw {
    /// Everything that was given, without it.
    #[serde(default)]
    pub purposes: Option<Vec<String>>,
    #[serde(flatten)]
    pub evidence: Evidence,
}

/// How it is known what somebody said.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Evidence {
    pub method: String,
    #[serde(default)]
    pub notice: String,
    #[serde(default)]
    pub language: String,
    #[serde(default)]
    pub wording: Option<String>,
    #[serde(default)]
    pub decided_at: Option<jiff::Timestamp>,
}

/// Why there is no answer, as RFC 9457 has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub status: StatusCode,
    pub detail: String,
    pub help: Option<String>,
    pub wait_seconds: Option<u64>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: &str) -> Self {
        Self { status, detail: detail.to_owned(), help: None, wait_seconds: None }
    }

    pub(crate) fn bad(detail: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn unauthorized(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    pub(crate) fn forbidden(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    pub(crate) fn not_found(detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(crate) fn unprocessable(detail: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// Says that it can be tried again soon.
    pub(crate) fn unavailable(detail: &str) -> Self {
        Self { wait_seconds: Some(5), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(help) = self.help {
            body["help"] = help.into();
        }
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, kind, body.to_string()).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.wait_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Reads a body as JSON of a shape.
pub(crate) fn body<'body, T: Deserialize<'body>>(headers: &HeaderMap, bytes: &'body Bytes) -> Result<T, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body has to be `application/json`"));
    }
    serde_json::from_slice(bytes).map_err(|error| Problem::bad(&format!("the body is not as described: {error}")))
}

impl Evidence {
    /// Checks texts that a database and a row of the ledger could not hold.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        text("method", &self.method, 1, 200)?;
        text("notice", &self.notice, 0, 500)?;
        text("language", &self.language, 0, 35)?;
        if let Some(wording) = &self.wording {
            let fits = (1..=20_000).contains(&wording.chars().count()) && !wording.contains('\0');
            if !fits {
                return Err(Problem::unprocessable("`wording` has 1 to 20,000 characters, none of them NUL"));
            }
        }
        let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(5);
        match self.decided_at {
            Some(moment) if moment > soon => Err(Problem::unprocessable("a choice cannot be decided in the future")),
            Some(moment) if moment.as_second() < 0 => Err(Problem::unprocessable("`decided_at` is before 1970")),
            _ => Ok(()),
        }
    }
}

impl Asked {
    /// Checks the texts, and returns the state.
    pub(crate) fn check(&self) -> Result<State, Problem> {
        text("purpose", &self.purpose, 1, 200)?;
        text("recipient", &self.recipient, 0, 200)?;
        State::named(&self.state).ok_or_else(|| {
            Problem::unprocessable("`state` is none of `requested`, `given`, `refused`, `withdrawn`, `lapsed`")
        })
    }
}

fn text(name: &str, value: &str, least: usize, most: usize) -> Result<(), Problem> {
    let length = value.chars().count();
    if (least..=most).contains(&length) && !value.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(Problem::unprocessable(&format!(
            "`{name}` has {least} to {most} characters, none of them control characters"
        )))
    }
}

/// Shows what holds.
pub(crate) fn choices(choices: &[Choice]) -> Value {
    let shown: Vec<Value> = choices
        .iter()
        .map(|choice| {
            json!({
                "purpose": choice.purpose, "term": choice.term, "basis": choice.basis, "recipient": choice.recipient,
                "permitted": choice.permitted, "said": choice.said.as_ref().map(recorded),
            })
        })
        .collect();
    json!({ "schema": "choices/1", "choices": shown })
}

/// Shows a part of a history.
pub(crate) fn history(history: &[Recorded], more: bool) -> Value {
    let shown: Vec<Value> = history
        .iter()
        .map(|said| {
            let mut shown = recorded(said);
            shown["number"] = said.number.into();
            shown["purpose"] = said.purpose.as_str().into();
            shown["recipient"] = said.recipient.as_str().into();
            shown["in_force"] = said.in_force.into();
            shown
        })
        .collect();
    let next = if more { history.last().map(|last| last.number) } else { None };
    json!({ "schema": "choices-history/1", "history": shown, "next_after": next })
}

fn recorded(said: &Recorded) -> Value {
    json!({
        "state": said.state.as_str(),
        "decided_at": said.decided_at,
        "recorded_at": said.recorded_at,
        "method": said.method,
        "notice": said.notice,
        "wording_sha256": said.wording_hash.as_deref().map(hex),
        "language": said.language,
        "event": said.event.as_ref().map(|event| hex(event)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_or_refused_in_one_sentence() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        let read = |text: &'static str| {
            body::<Record>(&headers, &Bytes::from_static(text.as_bytes())).map(|it| it.choices.len())
        };
        let whole = r#"{"choices":[{"purpose":"marketing","state":"given"}],"method":"banner"}"#;
        assert_eq!(read(whole), Ok(1));
        assert_eq!(read("{").unwrap_err().status, StatusCode::BAD_REQUEST);
        assert!(read(r#"{"choices":[],"method":7}"#).is_err());
        let no_kind = body::<Record>(&HeaderMap::new(), &Bytes::from_static(b"{}")).unwrap_err();
        assert_eq!(no_kind.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }

    #[test]
    fn texts_that_could_begin_a_line_of_the_ledgers_row_are_refused() {
        let asked = |purpose: &str, state: &str| {
            Asked { purpose: purpose.into(), recipient: String::new(), state: state.into() }.check()
        };
        assert_eq!(asked("marketing", "given"), Ok(State::Given));
        assert!(asked("marketing\nstate given", "refused").is_err());
        assert!(asked("", "refused").is_err());
        assert!(asked("marketing", "Given").is_err());
    }
}
