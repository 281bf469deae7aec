//! Starts Chromium and makes sure that it ends, with its profile, however we end.
//!
//! The browser is spoken to over a pipe: it opens no port, and it ends by itself when the pipe closes, even if this
//! process is killed. Its user data folder is temporary and holds only preferences; visits use browser contexts of
//! their own, which live in memory.

use crate::{BrowserError, Visit, VisitOptions, wire::Wire};
use command_fds::{CommandFdExt, FdMapping};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::unix::pipe,
    process::{Child, Command},
    sync::Mutex,
};

/// Programs tried, in order, when none is named.
pub const CHROMIUM_NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/// How long the browser may take to answer for the first time.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// What the browser would do on its own account, or for the sake of a window that nobody looks at.
const DISABLED_FEATURES: [&str; 12] = [
    "Translate",
    "MediaRouter",
    "OptimizationHints",
    "AutofillServerCommunication",
    "InterestFeedContentSuggestions",
    "HttpsUpgrades",
    "PaintHolding",
    "BackForwardCache",
    "Prerender2",
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "WebUIOmniboxFullPopup",
];

/// How to start the browser.
#[derive(Debug, Clone, Default)]
pub struct LaunchOptions {
    /// The program; `None` looks for one on the search path.
    pub program: Option<PathBuf>,
    /// Further command-line arguments, after ours.
    pub arguments: Vec<String>,
    /// Whether certificates that do not verify are accepted. Recorded in the evidence.
    pub ignore_certificate_errors: bool,
}

/// Returns the first Chromium on the search path.
pub fn find_chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|folder| CHROMIUM_NAMES.map(|name| folder.join(name)))
        .find(|candidate| candidate.is_file())
}

/// What the browser says of itself.
#[derive(Debug, Clone)]
pub struct Version {
    /// Product and version, for instance `Chrome/156.0.8078.79`.
    pub product: String,
    /// The user agent that visits send: the browser's own, without the word that marks it as headless.
    pub user_agent: String,
    /// The full version alone, for instance `156.0.8078.79`.
    pub number: String,
}

/// A running browser.
pub struct Browser {
    wire: Wire,
    version: Arc<Version>,
    child: Mutex<Option<Child>>,
    process_id: Option<u32>,
    // Deleted when dropped; after the child has ended, because Chromium writes to it until then.
    profile: Option<tempfile::TempDir>,
}

impl Browser {
    /// Starts a browser and waits until it answers.
    ///
    /// # Errors
    ///
    /// If there is no Chromium, it cannot be run, or it does not answer within 30 s. Nothing is left running.
    pub async fn launch(options: &LaunchOptions) -> Result<Self, BrowserError> {
        let program = options.program.clone().or_else(find_chromium).ok_or(BrowserError::NotFound)?;
        let profile = make_profile()?;
        let cannot_start =
            |why: std::io::Error| BrowserError::CannotStart { path: program.clone(), why: why.to_string() };
        let (commands_in, commands_out) = std::io::pipe().map_err(cannot_start)?;
        let (events_in, events_out) = std::io::pipe().map_err(cannot_start)?;
        let log = std::fs::File::create(profile.path().join("stderr.log")).map_err(cannot_start)?;
        let mut command = Command::new(&program);
        command
            .args(arguments(options, profile.path()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            // A group of its own, so that Ctrl-C at the terminal reaches us first and we end it in order.
            .process_group(0);
        command
            .fd_mappings(vec![
                FdMapping { parent_fd: commands_in.into(), child_fd: 3 },
                FdMapping { parent_fd: events_out.into(), child_fd: 4 },
            ])
            .map_err(|collision| cannot_start(std::io::Error::other(collision.to_string())))?;
        let child = command.spawn().map_err(cannot_start)?;
        // The command holds our copies of the child's ends; they must close for the pipe to end with the child.
        drop(command);
        let sender = pipe::Sender::from_owned_fd(commands_out.into()).map_err(cannot_start)?;
        let receiver = pipe::Receiver::from_owned_fd(events_in.into()).map_err(cannot_start)?;
        let wire = Wire::start(sender, receiver);
        let process_id = child.id();
        let answer = wire.call_within("", "Browser.getVersion", json!({}), START_TIMEOUT).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let said = std::fs::read_to_string(profile.path().join("stderr.log")).unwrap_or_default();
                let last = said.lines().rev().find(|line| !line.trim().is_empty());
                return Err(match last {
                    Some(line) => BrowserError::CannotStart { path: program, why: line.trim().to_owned() },
                    None => error,
                });
            }
        };
        let version = Arc::new(Version::from_answer(&answer));
        // Attach to every page, worker and pop-up before it runs; each visit then does the same for its frames.
        let attach = json!({"autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true});
        wire.call("", "Target.setAutoAttach", attach).await?;
        Ok(Self { wire, version, child: Mutex::new(Some(child)), process_id, profile: Some(profile) })
    }

    /// Opens a clean profile with one empty page, ready to record.
    ///
    /// # Errors
    ///
    /// If the browser is gone or refuses.
    pub async fn open_visit(&self, options: VisitOptions) -> Result<Visit, BrowserError> {
        Visit::open(self.wire.clone(), Arc::clone(&self.version), options).await
    }

    /// Returns what the browser says of itself.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Returns whether the browser is still there.
    pub fn is_running(&self) -> bool {
        self.wire.is_open()
    }

    /// Returns the process id of the browser's main process.
    pub fn process_id(&self) -> Option<u32> {
        self.process_id
    }

    /// Ends the browser and waits until it and all its processes have gone, 5 s at most; then it is killed.
    pub async fn close(mut self) {
        self.wire.tell("", "Browser.close", json!({}));
        let child = self.child.lock().await.take();
        if let Some(mut child) = child
            && tokio::time::timeout(Duration::from_secs(5), child.wait()).await.is_err()
        {
            self.kill_group();
            let _ = child.wait().await;
        }
        self.kill_group();
        self.remove_profile();
    }

    fn kill_group(&self) {
        if let Some(id) = self.process_id.and_then(|id| i32::try_from(id).ok()) {
            // Its helpers share its process group; a group that is gone already is what we want.
            let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGKILL);
        }
    }

    fn remove_profile(&mut self) {
        if let Some(profile) = self.profile.take() {
            let path = profile.path().to_owned();
            // Helpers may still be writing when the main process is gone: try again rather than leave a profile.
            for _ in 0..20 {
                if std::fs::remove_dir_all(&path).is_ok() || !path.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(25));
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.kill_group();
        self.remove_profile();
    }
}

impl Version {
    fn from_answer(answer: &serde_json::Value) -> Self {
        let product = answer["product"].as_str().unwrap_or("Chrome/0").replace("Headless", "");
        let number = product.rsplit('/').next().unwrap_or("0").to_owned();
        let user_agent = answer["userAgent"].as_str().unwrap_or_default().replace("HeadlessChrome", "Chrome");
        Self { product, user_agent, number }
    }
}

fn make_profile() -> Result<tempfile::TempDir, BrowserError> {
    let failed = |why: std::io::Error| BrowserError::NoProfile { path: std::env::temp_dir(), why: why.to_string() };
    let profile = tempfile::Builder::new().prefix("vigie-chromium-").tempdir().map_err(failed)?;
    let default = profile.path().join("Default");
    std::fs::create_dir(&default).map_err(failed)?;
    // Chromium blocks third-party cookies unless told otherwise; what a site tries to keep must be seen.
    let preferences = json!({
        "profile": {"cookie_controls_mode": 0, "block_third_party_cookies": false},
        "safebrowsing": {"enabled": false},
        "search": {"suggest_enabled": false},
        "credentials_enable_service": false,
    });
    std::fs::write(default.join("Preferences"), preferences.to_string()).map_err(failed)?;
    Ok(profile)
}

fn arguments(options: &LaunchOptions, profile: &Path) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "--headless=new",
        "--remote-debugging-pipe",
        "--disable-blink-features=AutomationControlled",
        "--no-first-run",
        "--no-default-browser-check",
        "--disable-gpu",
        "--disable-quic",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-component-extensions-with-background-pages",
        "--disable-default-apps",
        "--disable-domain-reliability",
        "--disable-extensions",
        "--disable-sync",
        "--disable-translate",
        "--disable-breakpad",
        "--disable-client-side-phishing-detection",
        "--disable-search-engine-choice-screen",
        "--disable-background-timer-throttling",
        "--disable-backgrounding-occluded-windows",
        "--disable-renderer-backgrounding",
        "--disable-ipc-flooding-protection",
        "--disable-hang-monitor",
        "--disable-prompt-on-repost",
        "--disable-popup-blocking",
        "--metrics-recording-only",
        "--mute-audio",
        "--password-store=basic",
        "--use-mock-keychain",
        "--force-color-profile=srgb",
        "--window-size=1366,768",
        "--disk-cache-size=33554432",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    if nix::unistd::geteuid().is_root() {
        // Chromium's sandbox refuses to run as root.
        arguments.push("--no-sandbox".to_owned());
    }
    if options.ignore_certificate_errors {
        arguments.push("--ignore-certificate-errors".to_owned());
    }
    arguments.push(format!("--user-data-dir={}", profile.display()));
    // Chromium heeds only the last list of features, so a given one is joined to ours.
    let mut disabled = DISABLED_FEATURES.to_vec();
    for argument in &options.arguments {
        match argument.strip_prefix("--disable-features=") {
            Some(more) => disabled.extend(more.split(',')),
            None => arguments.push(argument.clone()),
        }
    }
    arguments.push(format!("--disable-features={}", disabled.join(",")));
    arguments.push("about:blank".to_owned());
    arguments
}
