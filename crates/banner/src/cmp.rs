//! Known consent tools, by the names they give their elements.
//!
//! For people who read a report; detection never depends on it.

use crate::view::View;
use vigie_domain::{NodeId, page::NodeKind};

/// A tool's name, and beginnings of ids, classes or tags that only it uses. In lower case.
const TOOLS: &[(&str, &[&str])] = &[
    ("onetrust", &["onetrust-", "optanon", "ot-sdk-", "ot-pc-"]),
    ("cookiebot", &["cybotcookiebot", "cookiebotdialog"]),
    ("didomi", &["didomi-"]),
    ("usercentrics", &["usercentrics-", "uc-banner", "uc-btn", "uc-privacy", "uc-main"]),
    ("sourcepoint", &["sp_message", "sp_veil", "message-component", "message-container"]),
    ("quantcast", &["qc-cmp", "qc-cmp2"]),
    ("trustarc", &["truste_", "truste-", "trustarc-"]),
    ("klaro", &["klaro", "cm-klaro"]),
    ("vanilla-cookieconsent", &["cc-main", "cc--main", "cc_div", "s-cnt"]),
    ("tarteaucitron", &["tarteaucitron"]),
    ("osano", &["osano-cm", "cc-window", "cc-revoke", "cc-banner"]),
    ("cookieyes", &["cky-", "cookie-law-info", "cli-modal"]),
    ("complianz", &["cmplz-"]),
    ("borlabs", &["borlabscookie", "borlabs-cookie", "brlbs-"]),
    ("iubenda", &["iubenda-"]),
    ("axeptio", &["axeptio"]),
    ("cookie-script", &["cookiescript_"]),
    ("cookiefirst", &["cookiefirst-"]),
    ("termly", &["termly-", "t-consentprompt"]),
    ("consentmanager", &["cmpbox", "cmpwrapper", "cmpboxbtn"]),
    ("funding-choices", &["fc-consent", "fc-dialog", "fc-cta"]),
    ("yahoo", &["consent-overlay", "con-wizard", "guce-"]),
    ("civic", &["ccc-", "civic-cookie"]),
    ("govuk", &["govuk-cookie-banner"]),
    ("react-cookie-consent", &["=cookieconsent", "rcc-confirm-button", "rcc-decline-button"]),
    ("cookies-eu-banner", &["cookies-eu-"]),
    ("cookie-bar", &["cookie-bar-button", "cookie-bar-prompt", "cookie-bar"]),
    ("beyonk", &["cookie-consent-banner", "cookieconsentwrapper"]),
    ("cookify", &["cookify", "cookie-box"]),
    ("vue-cookie-law", &["cookie__button", "cookie__content"]),
    ("grrr", &["cookie-consent__"]),
    ("bengor", &["bengor-cookies"]),
    ("jquery-eu-cookie-law", &["eupopup"]),
    ("ketch", &["lanyard_root", "ketch-"]),
    ("osano", &["osano-"]),
    ("admiral", &["admiral-"]),
    ("moove", &["moove_gdpr", "moove-gdpr"]),
    ("wp-gdpr", &["gdpr-cookie-", "cookie-notice-"]),
    ("shopify", &["shopify-pc__"]),
    ("hubspot", &["hs-eu-cookie", "hs-banner"]),
    ("piwik-pro", &["ppms_cm"]),
    ("cookiehub", &["ch2-", "cookiehub"]),
    ("orejime", &["orejime"]),
    ("ccm19", &["ccm--", "ccm-root", "ccm-widget"]),
    ("secure-privacy", &["ifrmcookiebanner"]),
    ("c15t", &["c15t"]),
];

/// How many elements under a surface are looked at.
const FAR_ENOUGH: usize = 400;

/// Returns whether a name begins as a tool's names do; a beginning that itself begins with `=` is the whole name.
fn is_named(name: &str, start: &str) -> bool {
    start.strip_prefix('=').map_or_else(|| name.starts_with(start), |whole| name == whole)
}

/// Returns the tool that drew a surface, if its elements are named as a known tool names them.
pub(crate) fn tool_of(view: &View, root: NodeId) -> Option<String> {
    let around = view.ancestors(root).filter(|&up| !view.node(up).is("body") && !view.node(up).is("html"));
    let elements = view.subtree(root).take(FAR_ENOUGH).chain(around);
    let mut votes = vec![0_usize; TOOLS.len()];
    for id in elements {
        let node = view.node(id);
        if node.kind != NodeKind::Element {
            continue;
        }
        let names = [Some(&*node.name), node.attribute("id"), node.attribute("class")];
        let lower = names.into_iter().flatten().map(str::to_ascii_lowercase).collect::<Vec<_>>();
        for name in lower.iter().flat_map(|names| names.split_whitespace()) {
            for (vote, (_, starts)) in votes.iter_mut().zip(TOOLS) {
                let longest = starts.iter().filter(|start| is_named(name, start)).map(|start| start.len()).max();
                // A longer beginning says more: `cookie-bar-button` outweighs `cookie-`.
                *vote += longest.unwrap_or(0);
            }
        }
    }
    let best = (0..TOOLS.len()).rev().max_by_key(|&at| votes[at])?;
    (votes[best] > 0).then(|| TOOLS[best].0.to_owned())
}
