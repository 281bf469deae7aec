//! What is found on small pages of every kind, and that nothing makes detection panic.

use crate::{
    Detection, Lexicon, Place, Role, Shape, detect,
    model::{Nature, Surface},
    preference_page, probe_points, reopeners,
    testing::{by_id, page, style},
};
use proptest::prelude::*;
use std::{fmt::Write as _, sync::Arc};
use vigie_domain::{
    NodeId, PageSnapshot, Purpose, Rect,
    page::{Frame, Layout, Node, NodeKind},
};

const CONTENT: &str = r#"
header bg=222222
  a[href=/a] "Home" 20,5,60,20
  a[href=/privacy] "Privacy policy" 120,5,100,20
main
  h1 "Seasonal picks"
  p "Hand-made goods from small workshops, sent to you with care. New arrivals every Thursday."
  a[href=/story/1] "Oak chopping boards are back" 20,140,200,20
  a[href=/story/2] "How we choose our wool" 20,200,200,20
"#;

fn found(lang: &str, lines: &str) -> (PageSnapshot, Detection) {
    let page = page(lang, &format!("{CONTENT}{lines}"));
    let detection = detect(&page, Lexicon::bundled());
    (page, detection)
}

/// Checks a surface's controls: one `label = role` each, in document order.
fn check(lang: &str, lines: &str, expected: &[(&str, Role)]) -> Surface {
    let (_, mut detection) = found(lang, lines);
    assert_eq!(detection.surfaces.len(), 1, "one surface in {detection:#?}");
    let surface = detection.surfaces.remove(0);
    let controls: Vec<(&str, Role)> =
        surface.controls.iter().map(|control| (control.label.as_str(), control.role)).collect();
    assert_eq!(controls, expected);
    surface
}

fn check_none(lang: &str, lines: &str) -> Detection {
    let (_, detection) = found(lang, lines);
    assert!(detection.surfaces.is_empty(), "no surface in {:#?}", detection.surfaces);
    detection
}

#[test]
fn a_bar_at_the_bottom_is_found_with_its_controls() {
    let surface = check(
        "en",
        r#"
div.bar @fixed 0,668,1366,100 bg=ffffff
  p "We use cookies to measure our audience and to show you relevant advertising."
  button "Accept all" 900,700,120,40 bg=0000ff color=ffffff
  button "Reject all" 1030,700,120,40 bg=0000ff color=ffffff
  a[href=#] "Manage preferences" 1160,700,120,40 inline
"#,
        &[("Accept all", Role::AcceptAll), ("Reject all", Role::RefuseAll), ("Manage preferences", Role::Settings)],
    );
    assert_eq!(surface.language.as_deref(), Some("en"));
    assert_eq!(surface.place, Place::Document);
    assert!(!surface.blocks_page);
    let purposes: Vec<Purpose> = surface.purposes.iter().map(|named| named.purpose).collect();
    assert!(purposes.contains(&Purpose::Audience) && purposes.contains(&Purpose::Advertising), "{purposes:?}");
    assert_eq!(surface.controls[0].look.shape, Shape::Filled);
    assert_eq!(surface.controls[2].nature, Nature::Link);
}

#[test]
fn divs_and_bare_words_are_controls_too() {
    check(
        "en",
        r#"
div @fixed 0,668,1366,100 bg=ffffff
  p "We use cookies for statistics."
  div pointer "Accept all" 900,700,120,40
  span "no thanks" 1030,700,120,20 inline
"#,
        &[("Accept all", Role::AcceptAll), ("no thanks", Role::RefuseAll)],
    );
}

#[test]
fn words_in_a_sentence_are_no_control() {
    check(
        "en",
        r#"
div @fixed 0,668,1366,100 bg=ffffff
  p "We use cookies for statistics. If you choose the button called"
    span "accept all" 500,670,80,20 inline
  button "Accept all" 900,700,120,40
"#,
        &[("Accept all", Role::AcceptAll)],
    );
}

#[test]
fn a_notice_that_only_informs_is_a_surface() {
    let surface = check(
        "en",
        r#"
div @fixed 0,668,1366,100 bg=000000
  span "This website uses cookies to ensure you get the best experience on our website."
    a[href=/cookies] "Learn more" 600,670,80,20 inline
  a.cc-btn[role=button][tabindex=0] "Got it!" 900,700,120,40 bg=ffff00
"#,
        &[("Learn more", Role::Policy), ("Got it!", Role::AcceptAll)],
    );
    assert!(surface.controls[0].in_text);
    assert_eq!(surface.controls[1].nature, Nature::Button);
}

#[test]
fn a_card_on_a_backdrop_blocks_the_page() {
    let (page, detection) = found(
        "en",
        r#"
div#veil @fixed 0,0,1366,768 bg=000000/0.6
div#card[role=dialog][aria-modal=true] @fixed 400,200,560,300 bg=ffffff
  h2 "Before you continue"
  p "We and our 247 partners use cookies for analytics and personalised ads."
  button "Accept all" 420,400,120,40
  button "More options" 560,400,120,40
  button[aria-label=Close] "×" 930,205,20,20
"#,
    );
    let surface = &detection.surfaces[0];
    assert!(surface.blocks_page);
    assert_eq!(surface.backdrop, Some(by_id(&page, "veil")));
    assert_eq!(surface.root, by_id(&page, "card"));
    let close = surface.controls.last().expect("three controls");
    assert!(close.icon_only && close.role == Role::Close);
}

#[test]
fn a_backdrop_that_calls_itself_a_button_is_none() {
    let surface = check(
        "en",
        r#"
div[role=button][tabindex=0][aria-label=Close cookie consent banner] @fixed 0,0,1366,768 bg=000000/0.3
  div @fixed 0,694,1366,74 bg=333333
    p "This site uses cookies for ads."
    button "Accept all" 1069,709,100,40
    button "Decline" 1200,709,100,40
"#,
        &[("Accept all", Role::AcceptAll), ("Decline", Role::RefuseAll)],
    );
    assert!(surface.blocks_page);
}

#[test]
fn a_bar_in_the_flow_at_the_top_is_found() {
    let page = page(
        "en",
        r#"
div.banner[role=region][aria-label=Cookie banner] 0,0,1366,180 bg=eeeeee
  div
    h2 "Cookies on this service" 10,5,600,30
    p "We use cookies to help understand how users use our service." 10,40,600,30
  div 10,80,600,50
    button "Accept analytics cookies" 10,80,200,40
    button "Reject analytics cookies" 220,80,200,40
    a[href=/cookies] "View cookie preferences" 430,80,200,20
main 0,200,1366,900
  h1 "Apply for a licence"
  p "You can apply for a licence here."
"#,
    );
    let detection = detect(&page, Lexicon::bundled());
    let roles: Vec<Role> = detection.surfaces[0].controls.iter().map(|control| control.role).collect();
    assert_eq!(roles, [Role::AcceptAll, Role::RefuseAll, Role::Settings]);
}

#[test]
fn shadow_roots_and_frames_hold_surfaces() {
    for (inner, place) in [("shadow", Place::Shadow), ("frame", Place::Iframe)] {
        let tag = if inner == "frame" { "iframe" } else { "consent-thing" };
        let (_, detection) = found(
            "en",
            &format!(
                r#"
{tag} {inner} @fixed 0,568,1366,200 bg=ffffff
  p "We use cookies for statistics and marketing." 10,570,800,30
  button "Allow all" 10,650,100,40
  button "Decline" 120,650,100,40
"#
            ),
        );
        assert_eq!(detection.surfaces.len(), 1, "{inner}: {detection:#?}");
        assert_eq!(detection.surfaces[0].place, place);
        assert_eq!(detection.surfaces[0].controls.len(), 2);
    }
}

#[test]
fn hidden_layers_do_not_count() {
    check_none(
        "en",
        r#"
div hidden @fixed 0,668,1366,100
  p "We use cookies for statistics."
  button "Accept all"
div @fixed 0,668,1366,100 opacity=0.02
  p "We use cookies for statistics."
  button "Accept all"
div @fixed 0,900,1366,100
  p "We use cookies for statistics."
  button "Accept all"
"#,
    );
}

#[test]
fn pop_ups_about_other_things_are_set_aside() {
    let newsletter = check_none(
        "de",
        r#"
div[role=dialog] @fixed 400,200,480,300 bg=ffffff
  h2 "10 % Rabatt sichern!"
  p "Melden Sie sich für unseren Newsletter an. Hinweise zum Datenschutz finden Sie dort."
  input[type=email][placeholder=E-Mail]
  button "Akzeptieren" 420,420,100,30
  button "Ablehnen" 530,420,100,30
"#,
    );
    assert!(newsletter.rejected.iter().any(|one| one.why == "newsletter"), "{newsletter:?}");
    check_none(
        "en",
        r#"
div[role=dialog] @fixed 400,200,480,300 bg=ffffff
  h2 "Sign in to continue"
  p "By continuing you agree to our Terms and Privacy Policy, and you acknowledge our Cookie Policy."
  button "Continue with e-mail" 420,420,160,30
  button "Not now" 590,420,100,30
"#,
    );
    check_none(
        "en",
        r#"
div[role=dialog] @fixed 400,200,480,300 bg=ffffff
  h2 "Are you over 18?"
  p "You must be of legal drinking age to enter. By entering you accept our terms and our cookie policy."
  button "Yes" 420,420,160,30
  button "No" 590,420,100,30
"#,
    );
    check_none(
        "en",
        r#"
div[role=dialog] @fixed 400,200,480,120 bg=ffffff
  p "Would you like to receive notifications about breaking news?"
  button "Allow" 420,260,160,30
  button "No thanks" 590,260,100,30
"#,
    );
}

#[test]
fn an_article_about_cookies_is_no_surface() {
    check_none(
        "en",
        r#"
article
  h2 "How cookies changed the web"
  p "Cookies are small files. This website uses cookies as well, as most do. Advertisers use cookies to follow people."
  p "We asked an expert how cookies are used. Many people accept all cookies without reading a word of the notice."
  a[href=/next] "Continue reading"
footer
  a[href=/cookies] "Cookie policy"
  a[href=#] "Cookie settings"
"#,
    );
}

#[test]
fn the_front_layer_comes_first() {
    let (_, detection) = found(
        "en",
        r#"
div#first @fixed 0,568,1366,200 bg=ffffff
  p "We use cookies for statistics and marketing."
  button "Accept all" 10,650,100,40 covered
  button "Settings" 120,650,100,40 covered
div#second[role=dialog] @fixed 300,100,700,600 bg=ffffff
  h2 "Cookie settings"
  label 310,200,300,30 "Statistics"
    input#s[type=checkbox] checked 620,200,20,20
  label 310,240,300,30 "Marketing"
    input#m[type=checkbox] 620,240,20,20
  button "Save selection" 310,600,150,40 reached
"#,
    );
    assert_eq!(detection.surfaces.len(), 2, "{detection:#?}");
    let front = &detection.surfaces[0];
    assert_eq!(front.switches.len(), 2);
    assert_eq!(front.switches[0].purpose, Some(Purpose::Audience));
    assert_eq!(front.switches[0].on, Some(true));
    assert_eq!(front.switches[1].on, Some(false));
    assert_eq!(front.controls[0].role, Role::SaveSelection);
}

#[test]
fn a_layer_that_never_says_cookie_is_known_by_its_switches() {
    let surface = check(
        "en",
        r#"
div @fixed 300,100,700,400 bg=ffffff
  h2 "Your choices"
  p
    button[role=switch][aria-checked=true][aria-label=Analytics] 310,200,40,20
    span "Analytics: measure how the service is used." 360,200,300,20 inline
  p
    button[role=switch][aria-checked=false][aria-label=Marketing] 310,240,40,20
    span "Marketing: show you ads on other sites." 360,240,300,20 inline
  button "Save" 310,300,100,40
"#,
        &[("Save", Role::SaveSelection)],
    );
    let on: Vec<Option<bool>> = surface.switches.iter().map(|switch| switch.on).collect();
    assert_eq!(on, [Some(true), Some(false)]);
}

#[test]
fn an_input_that_is_not_drawn_is_clicked_by_its_label() {
    let (page, detection) = found(
        "en",
        r#"
div @fixed 300,100,700,400 bg=ffffff
  p "We use cookies. Choose which."
  div 310,200,300,30
    input#stats[type=checkbox] 310,200,1,1 opacity=0
    label#drawn[for=stats] "Statistics" 310,200,200,30
  div 310,240,300,30
    input#need[type=checkbox][disabled] checked 310,240,20,20
    label[for=need] "Strictly necessary" 340,240,200,30
  button "Save selection" 310,300,100,40
"#,
    );
    let switches = &detection.surfaces[0].switches;
    assert_eq!(switches.len(), 2);
    assert_eq!(switches[0].click, by_id(&page, "drawn"));
    assert_eq!(switches[0].label, "Statistics");
    assert!(!switches[0].exempt && switches[1].exempt && switches[1].disabled);
}

#[test]
fn pairs_of_buttons_for_each_service_are_switches() {
    let (_, detection) = found(
        "en",
        r#"
div[role=dialog] @fixed 300,100,700,500 bg=ffffff
  h2 "Cookies: manage your services"
  div 310,150,600,40
    button "Allow all cookies" 310,150,100,30
    button "Deny all cookies" 420,150,100,30
  div 310,200,600,40
    span "Example Analytics" 310,200,200,30
    button[aria-pressed=false] "Allow" 520,200,80,30
    button[aria-pressed=true] "Deny" 610,200,80,30
  div 310,250,600,40
    span "Example Ads" 310,250,200,30
    button[aria-pressed=false] "Allow" 520,250,80,30
    button[aria-pressed=false] "Deny" 610,250,80,30
"#,
    );
    let surface = &detection.surfaces[0];
    assert_eq!(surface.controls.len(), 2, "{:#?}", surface.controls);
    assert_eq!(surface.switches.len(), 4);
    assert_eq!(surface.switches[0].choice_of, surface.switches[1].choice_of);
    assert_eq!(surface.switches[1].allows, Some(false));
    assert_eq!(surface.switches[1].on, Some(true));
}

#[test]
fn a_heading_in_a_list_of_purposes_refuses_nothing() {
    check(
        "en",
        r#"
div[role=dialog] @fixed 300,100,700,500 bg=ffffff
  h2 "Manage your cookies"
  button "Accept all" 310,150,100,30
  button "Reject all" 420,150,100,30
  button "Necessary cookies" 310,200,200,30
  button "Save" 310,250,80,30
"#,
        &[
            ("Accept all", Role::AcceptAll),
            ("Reject all", Role::RefuseAll),
            ("Necessary cookies", Role::Settings),
            ("Save", Role::SaveSelection),
        ],
    );
    check(
        "en",
        r#"
div @fixed 0,668,1366,100 bg=ffffff
  p "We use cookies for statistics."
  button "Accept all" 310,700,100,30
  button "Necessary cookies" 420,700,200,30
"#,
        &[("Accept all", Role::AcceptAll), ("Necessary cookies", Role::RefuseAll)],
    );
}

#[test]
fn ways_back_are_ranked() {
    let (page, detection) = found(
        "en",
        r#"
footer 0,1800,1366,100
  a[href=/cookies] "Cookie policy" 10,1810,100,20
  a[href=#] "Cookie settings" 120,1810,100,20
  a[href=/imprint] "About us" 240,1810,100,20
button#icon[aria-label=Open privacy widget] @fixed 10,710,40,40 bg=ffffff
"#,
    );
    assert!(detection.surfaces.is_empty(), "{detection:#?}");
    let ways = reopeners(&page, Lexicon::bundled(), &detection.surfaces);
    let labels: Vec<&str> = ways.iter().map(|way| way.label.as_str()).collect();
    assert_eq!(labels, ["Cookie settings", "Open privacy widget", "Cookie policy", "Privacy policy"]);
}

#[test]
fn a_page_with_a_form_about_cookies_is_a_layer() {
    let page = page(
        "en",
        r#"
main 0,100,1366,800
  h1 "Cookies"
  form
    fieldset 10,200,600,120
      legend "Do you want to accept analytics cookies?" 10,200,600,30
      div 10,240,200,30
        input#y[type=radio][name=analytics][value=yes] 10,240,30,30
        label[for=y] "Yes" 50,240,100,30
      div 10,280,200,30
        input#n[type=radio][name=analytics][value=no] 10,280,30,30
        label[for=n] "No" 50,280,100,30
    button "Save cookie settings" 10,330,200,40
"#,
    );
    let surface = preference_page(&page, Lexicon::bundled()).expect("a form");
    assert!(detect(&page, Lexicon::bundled()).surfaces.is_empty());
    assert_eq!(surface.switches.len(), 2);
    assert_eq!(surface.switches.iter().map(|one| one.allows).collect::<Vec<_>>(), [Some(true), Some(false)]);
    assert_eq!(surface.switches[0].purpose, Some(Purpose::Audience));
    assert_eq!(surface.controls.last().map(|control| control.role), Some(Role::SaveSelection));
}

#[test]
fn faint_words_have_little_contrast() {
    let surface = check(
        "en",
        r#"
div @fixed 0,668,1366,100 bg=ffffff
  p "We use cookies for statistics."
  button "Accept all" 900,700,120,40 bg=0000ff color=ffffff
  button "Reject all" 1030,700,120,40 color=eeeeee
"#,
        &[("Accept all", Role::AcceptAll), ("Reject all", Role::RefuseAll)],
    );
    let refuse = &surface.controls[1].look;
    assert_eq!(refuse.shape, Shape::Plain);
    assert!(refuse.text_contrast < 1.5, "{refuse:?}");
}

/// Language, notice, and the words for accepting, refusing and settings.
const LANGUAGES: &[[&str; 5]] = &[
    [
        "bg",
        "Използваме бисквитки, за да анализираме трафика и да показваме реклами.",
        "Приемам всички",
        "Отхвърлям всички",
        "Настройки",
    ],
    [
        "ca",
        "Utilitzem galetes per mesurar l'audiència i mostrar publicitat.",
        "Accepta-ho tot",
        "Rebutja-ho tot",
        "Configuració",
    ],
    [
        "cs",
        "Používáme soubory cookie k analýze návštěvnosti a k zobrazování reklam.",
        "Přijmout vše",
        "Odmítnout vše",
        "Nastavení",
    ],
    ["da", "Vi bruger cookies til statistik og markedsføring.", "Accepter alle", "Afvis alle", "Indstillinger"],
    ["de", "Wir nutzen Cookies für Statistik und Werbung.", "Alle akzeptieren", "Alle ablehnen", "Einstellungen"],
    [
        "el",
        "Χρησιμοποιούμε cookies για ανάλυση της επισκεψιμότητας και διαφημίσεις.",
        "Αποδοχή όλων",
        "Απόρριψη όλων",
        "Ρυθμίσεις",
    ],
    ["en", "We use cookies for statistics and advertising.", "Accept all", "Reject all", "Settings"],
    [
        "es",
        "Utilizamos cookies para analizar el tráfico y mostrar publicidad.",
        "Aceptar todo",
        "Rechazar todo",
        "Configuración",
    ],
    ["et", "Kasutame küpsiseid statistika ja reklaami jaoks.", "Nõustu kõigiga", "Keeldu kõigist", "Seaded"],
    ["fi", "Käytämme evästeitä analytiikkaan ja mainontaan.", "Hyväksy kaikki", "Hylkää kaikki", "Asetukset"],
    [
        "fr",
        "Nous utilisons des cookies pour mesurer l'audience et afficher de la publicité.",
        "Tout accepter",
        "Tout refuser",
        "Paramétrer",
    ],
    [
        "ga",
        "Úsáidimid fianáin chun anailís a dhéanamh ar thrácht agus chun fógraí a thaispeáint.",
        "Glac le gach ceann",
        "Diúltaigh do gach ceann",
        "Socruithe",
    ],
    ["hr", "Koristimo kolačiće za analitiku i oglašavanje.", "Prihvati sve", "Odbij sve", "Postavke"],
    [
        "hu",
        "Sütiket használunk statisztikai és hirdetési célokra.",
        "Összes elfogadása",
        "Összes elutasítása",
        "Beállítások",
    ],
    [
        "is",
        "Við notum vefkökur til að greina umferð og birta auglýsingar.",
        "Samþykkja allar",
        "Hafna öllum",
        "Stillingar",
    ],
    [
        "it",
        "Utilizziamo i cookie per analizzare il traffico e mostrare pubblicità.",
        "Accetta tutti",
        "Rifiuta tutti",
        "Impostazioni",
    ],
    ["lt", "Naudojame slapukus statistikai ir reklamai.", "Sutikti su visais", "Atmesti visus", "Nustatymai"],
    ["lv", "Mēs izmantojam sīkdatnes statistikai un reklāmai.", "Pieņemt visas", "Noraidīt visas", "Iestatījumi"],
    ["mt", "Nużaw il-cookies għall-analiżi u r-reklamar.", "Aċċetta kollox", "Irrifjuta kollox", "Settings"],
    [
        "nb",
        "Vi bruker informasjonskapsler til statistikk og markedsføring.",
        "Godta alle",
        "Avvis alle",
        "Innstillinger",
    ],
    [
        "nl",
        "Wij gebruiken cookies voor statistieken en advertenties.",
        "Alles accepteren",
        "Alles weigeren",
        "Instellingen",
    ],
    [
        "pl",
        "Używamy plików cookie do celów statystycznych i reklamowych.",
        "Zaakceptuj wszystkie",
        "Odrzuć wszystkie",
        "Ustawienia",
    ],
    [
        "pt",
        "Utilizamos cookies para medir a audiência e mostrar publicidade.",
        "Aceitar tudo",
        "Rejeitar tudo",
        "Definições",
    ],
    ["ro", "Folosim cookie-uri pentru statistici și publicitate.", "Acceptă toate", "Respinge toate", "Setări"],
    [
        "sk",
        "Používame súbory cookie na analýzu návštevnosti a reklamu.",
        "Prijať všetko",
        "Odmietnuť všetko",
        "Nastavenia",
    ],
    ["sl", "Piškotke uporabljamo za statistiko in oglaševanje.", "Sprejmi vse", "Zavrni vse", "Nastavitve"],
    ["sv", "Vi använder kakor för statistik och annonser.", "Godkänn alla", "Avvisa alla", "Inställningar"],
    [
        "tr",
        "Trafiği analiz etmek ve reklam göstermek için çerezleri kullanıyoruz.",
        "Tümünü kabul et",
        "Tümünü reddet",
        "Ayarlar",
    ],
    ["uk", "Ми використовуємо файли cookie для аналітики та реклами.", "Прийняти всі", "Відхилити всі", "Налаштування"],
];

#[test]
fn every_language_is_read_even_on_a_page_that_claims_another() {
    let mut wrong = String::new();
    for &[language, notice, accept, refuse, settings] in LANGUAGES {
        if Lexicon::bundled().language(language).is_none() {
            continue;
        }
        let bar = format!(
            r#"
div @fixed 0,668,1366,100 bg=ffffff
  p "{notice}"
  button "{accept}" 900,700,120,40
  button "{refuse}" 1030,700,120,40
  button "{settings}" 1160,700,120,40
"#
        );
        let claimed = if language == "en" { "fr" } else { "en" };
        let (_, detection) = found(claimed, &bar);
        let seen = detection.surfaces.first().map(|surface| {
            let roles: Vec<Role> = surface.controls.iter().map(|control| control.role).collect();
            (surface.language.clone().unwrap_or_default(), roles, surface.purposes.len())
        });
        let code =
            Lexicon::bundled().language(language).and_then(|one| Lexicon::bundled().code(one)).unwrap_or_default();
        let is_right = seen.as_ref().is_some_and(|(found, roles, purposes)| {
            found == code && *roles == [Role::AcceptAll, Role::RefuseAll, Role::Settings] && *purposes >= 2
        });
        if !is_right {
            writeln!(wrong, "{language}: {seen:?}").expect("a string");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_large_page_is_read_in_linear_time() {
    let mut lines = String::from("main 0,100,1366,100000\n");
    for row in 0..8_000 {
        let y = 100 + row * 12;
        writeln!(lines, "  div 0,{y},1366,12").expect("a string");
        writeln!(lines, "    p \"We wrote about cookies and bread, row {row}\" 0,{y},600,12").expect("a string");
        writeln!(lines, "    a[href=/{row}] \"Read on\" 700,{y},100,12").expect("a string");
    }
    lines.push_str("div @fixed 0,668,1366,100 bg=ffffff\n  p \"We use cookies.\"\n  button \"Accept all\"\n");
    let page = page("en", &lines);
    let start = std::time::Instant::now();
    let detection = detect(&page, Lexicon::bundled());
    assert_eq!(detection.surfaces.len(), 1);
    // Generous, since this runs without optimisation beside other tests.
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

const TAGS: [&str; 12] =
    ["div", "button", "a", "p", "input", "iframe", "label", "span", "body", "form", "dialog", "select"];
const TEXTS: [&str; 10] = [
    "We use cookies for statistics.",
    "Accept all",
    "Reject all",
    "×",
    "Cookie settings",
    "İẞŉ ﬃ \u{301}x",
    "",
    "Save",
    "Marketing",
    "newsletter e-mail 18+",
];

fn any_page() -> impl Strategy<Value = PageSnapshot> {
    let node = (
        any::<prop::sample::Index>(),
        0..TAGS.len(),
        0..TEXTS.len(),
        (-200.0_f32..1500.0, -200.0_f32..1200.0, 0.0_f32..1400.0, 0.0_f32..900.0),
        0..64_u32,
        0..9_u8,
    );
    prop::collection::vec(node, 1..60).prop_map(|parts| {
        let mut page = page("en", "");
        for (parent, tag, text, (x, y, w, h), flags, kind) in parts {
            let id = NodeId(page.nodes.len() as u32);
            let parent = NodeId(parent.index(page.nodes.len()) as u32);
            let mut made = style();
            made.position = ["static", "fixed", "absolute", "sticky"][(flags % 4) as usize].to_owned();
            made.pointer_cursor = flags & 4 != 0;
            made.clips = flags & 8 != 0;
            made.scrolls = flags & 0x18 == 0x18;
            made.display = if flags & 32 == 0 { "block" } else { "inline" }.to_owned();
            let (kind, name) = match kind {
                0 => (NodeKind::Document, ""),
                1 => (NodeKind::OpenShadow, ""),
                2 => (NodeKind::Internal, ""),
                3..=5 => (NodeKind::Text, ""),
                _ => (NodeKind::Element, TAGS[tag]),
            };
            let keys = ["id", "class", "role", "aria-label", "type", "for", "href", "aria-checked"];
            let values = ["x", "cookie-banner", "switch", "Close", "checkbox", "x", "#", "true"];
            let at = (flags % 8) as usize;
            let frame = if kind == NodeKind::Document {
                let owner = Some(parent);
                page.frames.push(Frame { id: String::new(), url: String::new(), document: id, owner });
                page.frames.len() as u16 - 1
            } else {
                page.node(parent).frame
            };
            page.nodes.push(Node {
                parent: Some(parent),
                children: Vec::new(),
                kind,
                name: name.into(),
                text: TEXTS[text].into(),
                attributes: vec![(keys[at].into(), values[at].into())],
                checked: (flags == 1).then_some(true),
                clickable: flags & 2 != 0,
                frame,
                backend: 0,
                layout: (flags % 5 != 0).then(|| Layout {
                    rect: Rect { x, y, w, h },
                    paint_order: id.0,
                    blended_background: None,
                    style: Arc::new(made),
                }),
                hit: None,
            });
            page.nodes[parent.index()].children.push(id);
        }
        page
    })
}

proptest! {
    #[test]
    fn no_page_makes_detection_panic(page in any_page()) {
        let lexicon = Lexicon::bundled();
        let detection = detect(&page, lexicon);
        let points = probe_points(&page, lexicon);
        prop_assert!(points.len() <= 200);
        let _ = reopeners(&page, lexicon, &detection.surfaces);
        let _ = preference_page(&page, lexicon);
        prop_assert_eq!(detect(&page, lexicon), detection);
    }
}
