//! Whether a part of a page is a consent surface: evidence for and against, added up.

use crate::{
    controls::{Found, controls_in},
    describe,
    labels::has_words,
    language::language_of,
    lexicon::{Decoy, Lang},
    marks::{Reader, asks_for_data},
    model::{Role, Switch},
    reading::Class,
    switches::switches_in,
    text::Words,
};
use vigie_domain::{NodeId, Purpose, page::NodeKind};

/// From this score on, it is a surface. Ours, set on the fixture sites.
pub(crate) const ENOUGH: f32 = 0.45;
/// Why most boxes are no surface.
pub(crate) const NOTHING_IN_IT: &str = "no choice or notice in it";
/// More text than this is not read for evidence.
const READ_BYTES: usize = 30_000;

/// What was found out about a part of a page.
#[derive(Debug)]
pub(crate) struct Assessment {
    pub root: NodeId,
    pub score: f32,
    /// Why it is no surface, in the words of [`crate::model::Rejected::why`].
    pub why_not: &'static str,
    pub language: Option<Lang>,
    pub text: String,
    pub controls: Vec<Found>,
    pub switches: Vec<Switch>,
}

impl Assessment {
    /// Returns whether it is a consent surface.
    pub fn is_surface(&self) -> bool {
        self.score >= ENOUGH
    }

    /// Returns whether some control accepts, refuses or saves.
    pub fn decides(&self) -> bool {
        let decides = |role: Role| matches!(role, Role::AcceptAll | Role::RefuseAll | Role::SaveSelection);
        self.controls.iter().any(|found| decides(found.control.role) && found.control.confidence >= 0.5)
    }

    /// Returns whether some control has one of the roles, by its words or by its name.
    pub fn has(&self, role: Role) -> bool {
        self.controls.iter().any(|found| found.control.role == role && found.control.confidence >= 0.5)
    }
}

/// Weighs the evidence under a node. `in_flow`: it is no overlay but stands among the page's content.
pub(crate) fn assess(reader: &Reader, root: NodeId, in_flow: bool) -> Assessment {
    let view = &reader.view;
    let mut text = view.text(root);
    if text.len() > READ_BYTES {
        let end = (0..=READ_BYTES).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
    let words = Words::new(&text);
    let claimed = view.page.lang.as_deref();
    let language = language_of(&text, reader.lexicon, claimed);
    let (switches, used) = switches_in(reader, root, language);
    let controls = controls_in(reader, root, language, &switches, &used);
    let mut assessment = Assessment { root, score: 0.0, why_not: NOTHING_IN_IT, language, text, controls, switches };
    weigh(reader, &mut assessment, &words, in_flow);
    assessment
}

fn weigh(reader: &Reader, assessment: &mut Assessment, words: &Words, in_flow: bool) {
    let languages = describe::languages(reader, assessment.language);
    let in_policy = reader.lexicon.policy_words(words);
    let (mut strong, mut weak) = (0, 0);
    let mut last = usize::MAX;
    reader.lexicon.subjects_in(words, |at, language| {
        if at != last && (language.0 == u8::MAX || languages.contains(&language)) {
            last = at;
            if in_policy[at] { weak += 1 } else { strong += 1 }
        }
    });
    let notices = reader.lexicon.count_notices(words, &languages);
    let mut purposes: Vec<Purpose> = Vec::new();
    reader.lexicon.purposes_in(words, &languages, |_, _, purpose| {
        if !purposes.contains(&purpose) {
            purposes.push(purpose);
        }
    });
    let purposed_switches = assessment.switches.iter().filter(|switch| switch.purpose.is_some()).count();
    let named = is_named(reader, assessment.root);

    let with = |class: Class| {
        assessment.controls.iter().any(|found| found.class == Some(class) && found.control.confidence >= 0.5)
    };
    let accepts = with(Class::Accept) || with(Class::AcceptAll) || with(Class::AllowOne);
    let refuses = with(Class::Refuse) || with(Class::RefuseAll) || with(Class::OnlyNecessary) || with(Class::DenyOne);
    let evades = with(Class::VagueRefuse);
    let saves = with(Class::Save);
    let acknowledges = with(Class::Acknowledge);
    let sets = assessment.has(Role::Settings);
    let closes = assessment.has(Role::Close);
    let pays = with(Class::Pay);
    let lists = with(Class::Partners);
    let by_name = assessment.controls.iter().any(|found| {
        found.class.is_none()
            && matches!(found.control.role, Role::AcceptAll | Role::RefuseAll | Role::SaveSelection)
            && found.control.confidence >= 0.3
    });

    let mut score = 0.0;
    score += 0.3 * strong.min(2) as f32 + 0.05 * (weak as f32).min(2.0);
    // "By continuing you agree" says little of what is agreed to.
    score += if notices == 0 {
        0.0
    } else if strong > 0 {
        0.3
    } else {
        0.1
    };
    score += 0.06 * purposes.len().min(4) as f32;
    score += match purposed_switches {
        0 => 0.0,
        1 => 0.25,
        _ => 0.45,
    };
    score += if named { 0.15 } else { 0.0 };
    for (is_so, weight) in [
        (accepts, 0.25),
        (refuses, 0.25),
        (evades, 0.1),
        (saves, 0.2),
        (acknowledges, 0.12),
        (sets, 0.15),
        (closes, 0.05),
        (pays && accepts, 0.15),
        (lists, 0.15),
        (by_name && named, 0.2),
    ] {
        score += if is_so { weight } else { 0.0 };
    }

    let (penalty, why) = decoy(reader, assessment, words, &languages, accepts && (refuses || sets || saves || pays));
    score -= penalty;
    if let Some(why) = why {
        assessment.why_not = why;
    }
    // Without the subject, "Accept" may be about anything; without a control, a text is only a text.
    let speaks_of_tracking = purposes.iter().any(|purpose| purpose.is_exempt() == Some(false))
        && accepts
        && (refuses || pays || lists || sets);
    let has_subject = strong > 0 || purposed_switches > 0 || speaks_of_tracking || (named && (by_name || notices > 0));
    let has_choice = accepts
        || refuses
        || saves
        || (evades && strong > 0)
        || purposed_switches > 0
        || ((acknowledges || by_name) && (strong > 0 || notices > 0 || named))
        || (closes && (strong > 0 || notices > 0));
    let letters = assessment.text.chars().filter(|c| c.is_alphabetic()).count();
    if !has_subject || !has_choice {
        score = score.min(ENOUGH - 0.1);
    } else if letters < 25 && !accepts && !refuses && !saves {
        // "Cookies ×": too little to be a notice.
        score = score.min(ENOUGH - 0.05);
    }
    // Beside an embedded film, "load" is a consent, but to that film alone.
    let is_article = std::iter::once(assessment.root)
        .chain(reader.view.ancestors(assessment.root))
        .any(|up| reader.view.node(up).is("article"));
    let is_clear = accepts && (refuses || sets) && !is_article;
    if in_flow && is_in_content(reader, assessment.root) && !is_clear && !named {
        score = score.min(ENOUGH - 0.1);
    }
    if in_flow && letters > 2500 && assessment.switches.is_empty() {
        score = score.min(ENOUGH - 0.1);
        assessment.why_not = "article";
    }
    assessment.score = score.clamp(0.0, 1.0);
}

fn decoy(
    reader: &Reader,
    assessment: &Assessment,
    words: &Words,
    languages: &[Lang],
    is_real_choice: bool,
) -> (f32, Option<&'static str>) {
    let mut counts = [0_usize; 4];
    reader.lexicon.decoys_in(words, languages, |decoy| {
        counts[match decoy {
            Decoy::Newsletter => 0,
            Decoy::Login => 1,
            Decoy::Age => 2,
            Decoy::Paywall => 3,
        }] += 1;
    });
    let view = &reader.view;
    let field = view.subtree(assessment.root).find(|&id| view.is_shown(id) && asks_for_data(view.node(id)));
    let weight = if is_real_choice { 0.3 } else { 1.0 };
    let penalties = [
        ("newsletter", 0.12 * counts[0].min(3) as f32 * weight),
        ("log-in", 0.15 * counts[1].min(3) as f32 * weight),
        ("age gate", 0.4 * counts[2].min(2) as f32),
        ("pay wall", 0.1 * counts[3].min(3) as f32 * weight),
    ];
    let mut penalty: f32 = penalties.iter().map(|&(_, penalty)| penalty).sum();
    let mut why =
        penalties.iter().max_by(|a, b| a.1.total_cmp(&b.1)).filter(|worst| worst.1 > 0.0).map(|worst| worst.0);
    if let Some(field) = field {
        let is_password = view.node(field).attribute("type").is_some_and(|kind| kind.eq_ignore_ascii_case("password"));
        why = Some(if is_password || counts[1] > counts[0] { "log-in" } else { "newsletter" });
        penalty += 0.8;
    }
    (penalty, why)
}

/// Returns whether a node belongs to the page's content or foot rather than standing before or after it.
pub(crate) fn is_in_content(reader: &Reader, id: NodeId) -> bool {
    let view = &reader.view;
    std::iter::once(id)
        .chain(view.ancestors(id))
        .any(|up| matches!(&*view.node(up).name, "article" | "main" | "footer"))
}

/// Returns whether ids or classes at the root speak of consent. Weak evidence: anyone may call anything anything.
pub(crate) fn is_named(reader: &Reader, root: NodeId) -> bool {
    let view = &reader.view;
    let around = view.ancestors(root).take(3).filter(|&up| !matches!(&*view.node(up).name, "html" | "body"));
    let mut inside = view.subtree(root).filter(|&id| view.node(id).kind == NodeKind::Element).take(6);
    inside.any(|id| has_consent_name(reader, id)) || around.into_iter().any(|id| has_consent_name(reader, id))
}

/// Returns whether an element's own id, class or name speaks of consent.
pub(crate) fn has_consent_name(reader: &Reader, id: NodeId) -> bool {
    let view = &reader.view;
    let node = view.node(id);
    let names = [Some(&*node.name), node.attribute("id"), node.attribute("class"), node.attribute("aria-label")];
    let lower: Vec<String> = names.into_iter().flatten().map(str::to_ascii_lowercase).collect();
    lower.iter().any(|name| {
        [
            "cookie",
            "consent",
            "gdpr",
            "rgpd",
            "dsgvo",
            "privacy",
            "onetrust",
            "didomi",
            "tarteaucitron",
            "klaro",
            "usercentrics",
        ]
        .iter()
        .any(|word| name.contains(word))
            || name.split(|c: char| !c.is_alphanumeric()).any(|part| matches!(part, "cmp" | "tcf" | "ccpa"))
    }) && (node.kind == NodeKind::Element || has_words(&node.text))
}
