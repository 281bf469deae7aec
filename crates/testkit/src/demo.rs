//! The sample platform, compiled in: what `vigie inspect` visits when no address is given.

/// Host of the sample platform.
pub const HOST: &str = "clipwave.test";

/// Address of the sample platform, on a server started with [`crate::SiteServerBuilder::demo`].
pub const URL: &str = "https://clipwave.test/";

/// Its files by path.
pub const FILES: &[(&str, &[u8])] = &[
    ("index.html", include_bytes!("../../../demo/clipwave/index.html")),
    ("privacy.html", include_bytes!("../../../demo/clipwave/privacy.html")),
    ("clipwave.js", include_bytes!("../../../demo/clipwave/clipwave.js")),
    ("clipwave.css", include_bytes!("../../../demo/clipwave/clipwave.css")),
    ("site.json", include_bytes!("../../../demo/clipwave/site.json")),
];
