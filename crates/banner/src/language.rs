//! Which language a text is in, by its commonest words, its letters and the lexicon's phrases.
//!
//! Banners are short: ten words must do. So everything counts at once, and the page's own `lang` breaks ties, but never
//! more than that, since sites show banners in other languages than their pages.

use crate::{
    lexicon::{Lang, Lexicon},
    text::Words,
};

/// The commonest words of each language, folded as [`crate::text::fold`] folds. Words that several languages share
/// are in several lists and cancel out.
const COMMON: &[(&str, &str)] = &[
    (
        "bg",
        "и на за да се от с в по са този това сайт ни вашите вашето може или които използва използваме вие ви \
         не как",
    ),
    (
        "ca",
        "i de la el les els per amb que en del una un aquest aquesta nostre nostra vostra o us si fem pot \
         pots utilitzem",
    ),
    (
        "cs",
        "a na se pro s jsou k v o je nebo ze do soubory pouzivame nam vam vase nase aby jak muzete ktere web \
         tento tyto svuj stranky",
    ),
    (
        "da",
        "og til for at vi af pa med du din dit dine vores er den det der eller kan denne hjemmeside bruger os \
         fra om",
    ),
    (
        "de",
        "und die der wir sie zu fur auf um unsere unserer ihre ihren mit von ist das den diese website oder \
         durch konnen einer eine zum dass es im in sowie verwenden nutzen",
    ),
    (
        "el",
        "και να για το τη την της του τα σε με που μας σας οι αυτο ειναι απο ή στο στη τις των η ο θα \
         χρησιμοποιουμε",
    ),
    (
        "en",
        "we use to and our your the you of on this site that by can for with are or is it us website from \
         which will how",
    ),
    (
        "es",
        "y de la el en los las para que con usamos utilizamos nuestra nuestro nuestros su sus por una un \
         puede este sitio o al del mas si esta como propias terceros",
    ),
    (
        "et",
        "ja et me teie selle kasutame meie on voi kui oma see veebileht kasutab ning mis lehel saate kohta \
         meil teil",
    ),
    (
        "fi",
        "ja me on voit tai taman sivuston etta sivusto kaytamme jotta myos seka sen ne mukaan verkkosivusto \
         sinun meidan voimme kayttaa kayttaaksesi",
    ),
    (
        "fr",
        "et de la le les des nous pour vous votre vos notre nos sur un une ce site en du est a au que par \
         avec ou utilisons utilise aux dans",
    ),
    (
        "ga",
        "agus na an ar do le chun ag i ar a is go ag a leis seo ar an den suiomh usaidimid bhfuil duit againn \
         fiannain",
    ),
    (
        "hr",
        "i na se za da je u su kako nase vase mi vas ili koristimo ova stranica koje nam moze mozete s od web \
         ovaj kolacice",
    ),
    (
        "hu",
        "a az es hogy ez meg egy is oldal weboldal hasznal hasznalunk sutiket vagy az on az onnek webhely \
         celokra celjabol nem fokozasa erdekeben",
    ),
    ("is", "og ad til vid thu thin a i sem er med vefsvaedi notum vefkokur fyrir okkar vefurinn ther um eda"),
    (
        "it",
        "e di il la per che i le del della con un una nostro questo sito utilizza utilizziamo usiamo tua tuo \
         o sul gli dei da si nostri come sono anche",
    ),
    (
        "lt",
        "ir su kad jus jusu mes musu yra naudojame svetaine arba sioje siame slapukus slapukai galite apie \
         kaip savo jei naudoja",
    ),
    (
        "lv",
        "un ir lai mes jusu musu vai par ar sikdatnes vietne izmantojam so saja tiek kas jus varat ka no \
         lietojam sikfailus",
    ),
    ("mt", "u li biex tal fuq dan dawn il l ta ma huwa nuzaw tieghek taghna is sit cookies jew tista minn ghal"),
    (
        "nb",
        "og til for at vi av pa med du din ditt dine vare er den det som eller kan dette nettstedet bruker \
         oss fra om nettside nar informasjonskapsler",
    ),
    (
        "nl",
        "en de het een van wij we op om uw je jouw onze te voor deze dit website gebruiken gebruikt met is of \
         door zijn kan ook laten zien",
    ),
    (
        "pl",
        "i w na do z ze sie aby nasza nasze twoje twoich oraz lub jest strona serwis uzywamy uzywa korzystamy \
         ta ten pliki plikow po celu celow przez",
    ),
    (
        "pt",
        "e de a o os as para que com em nos nosso nossa seu sua um uma usamos utilizamos este site ou do da \
         no na por mais sao voce pode ao",
    ),
    (
        "ro",
        "si de la pe in pentru a cu ne va sa este sunt acest site folosim utilizam dumneavoastra noastre sau \
         care din un o prin ce mai",
    ),
    (
        "sk",
        "a na sa pre s su k v o je alebo ze do subory pouzivame nam vam vase nase aby ako mozete ktore tato \
         tieto svoje stranky webova",
    ),
    (
        "sl",
        "in na se za da je v so ki vase nase mi vas ali uporabljamo ta stran spletno spletna mesto piskotke s \
         z lahko kako tem",
    ),
    (
        "sv",
        "och att vi for till pa av med du din ditt dina vara ar den det som eller kan denna webbplats \
         webbplatsen anvander oss fran om kakor sa",
    ),
    ("tr", "ve bir bu icin ile size olarak cerezleri sitemizde kullaniyoruz daha web veya cerez olan site"),
    ("uk", "і та на для з що ми ви ваш наш це цей сайт використовуємо або файли як до у в про"),
];

/// Letters that only few languages have. Lower case.
const LETTERS: &[(&str, &str)] = &[
    ("bg", "ъщ"),
    ("uk", "іїєґ"),
    ("cs", "ěřů"),
    ("sk", "ľĺŕô"),
    ("pl", "łąęśżźćń"),
    ("hu", "őű"),
    ("ro", "țșăţş"),
    ("de", "ßü"),
    ("sv", "å"),
    ("da", "æøå"),
    ("nb", "æøå"),
    ("is", "ðþ"),
    ("es", "ñ¿¡"),
    ("pt", "ãõ"),
    ("fr", "çœêà"),
    ("fi", "äö"),
    ("et", "õ"),
    ("lt", "ėųįū"),
    ("lv", "āēīūģķļņ"),
    ("mt", "ħġż"),
    ("hr", "đć"),
    ("tr", "ığ"),
    ("el", "αεηιοτ"),
];

/// Returns the language of a text; `prior` is the page's own claim. `None` if nothing speaks for any language.
pub(crate) fn language_of(text: &str, lexicon: &Lexicon, prior: Option<&str>) -> Option<Lang> {
    let words = Words::new(text);
    let mut scores = vec![0.0_f32; lexicon.languages().len()];
    let lower = text.to_lowercase();
    for (code, common) in COMMON {
        let Some(language) = lexicon.language(code) else { continue };
        let hits = words.iter().filter(|word| common.split(' ').any(|one| one == *word)).count();
        scores[language.0 as usize] += 0.5 * hits as f32;
    }
    for (code, letters) in LETTERS {
        let Some(language) = lexicon.language(code) else { continue };
        let hits = lower.chars().filter(|&c| !c.is_ascii() && letters.contains(c)).count();
        scores[language.0 as usize] += 0.25 * (hits as f32).min(8.0);
    }
    lexicon.languages_in(&words, |language, weight| {
        if let Some(score) = scores.get_mut(language.0 as usize) {
            *score += weight;
        }
    });
    let is_nothing = scores.iter().all(|&score| score == 0.0);
    if let Some(prior) = prior.and_then(|code| lexicon.language(code)) {
        if is_nothing {
            return Some(prior);
        }
        scores[prior.0 as usize] += 0.6;
    }
    let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)))?;
    (scores[best] > 0.0).then_some(Lang(best as u8))
}
