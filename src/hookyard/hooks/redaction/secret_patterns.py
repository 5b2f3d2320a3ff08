"""The shapes of secrets that detect-secrets does not know: keys by their look, passwords by what stands around them.

Read by `secret_rules`. Every expression is of RE2, which never goes back over a text, and matches a bounded number of
characters: so a text costs at most so many steps for each of its characters, whatever it holds. What an expression is
too short for, the rest of a long key, is added by `secret_rules`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SecretPattern:
    """One expression of RE2.

    Attributes:
        kind: What it finds, for a message.
        text: The expression. The secret is the first group that matched; without groups it is all of the match and the
            characters of keys that follow.
        is_named: A name or a place says that it is a secret, not its own look: placeholders and code are left out.
        is_weak: The name or place says little: what holds no digit, or looks like a path, is left out too.
    """

    kind: str
    text: str
    is_named: bool = False
    is_weak: bool = False


_KEYS: dict[str, tuple[str, ...]] = {
    # Models and what agents use with them.
    "Anthropic API Key": (r"sk-ant-[A-Za-z0-9_-]{20}",),
    "OpenAI Token": (r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20}",),
    "Google API Key": (r"AIza[0-9A-Za-z_-]{35}",),
    "Hugging Face Token": (r"\bhf_[A-Za-z0-9]{30}", r"\bapi_org_[A-Za-z0-9]{34}\b"),
    "Groq API Key": (r"\bgsk_[A-Za-z0-9]{40}",),
    "xAI API Key": (r"\bxai-[A-Za-z0-9]{40}",),
    "Perplexity API Key": (r"\bpplx-[A-Za-z0-9]{40}",),
    "Replicate Token": (r"\br8_[A-Za-z0-9]{37}\b",),
    "NVIDIA API Key": (r"\bnvapi-[A-Za-z0-9_-]{60}",),
    "LangSmith API Key": (r"\blsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}\b",),
    "Tavily API Key": (r"\btvly-(?:dev-|prod-)?[A-Za-z0-9]{20}",),
    # DeepSeek, DashScope, Moonshot, SiliconFlow, OpenRouter and others write theirs alike.
    "API key of a model provider": (r"\bsk-(?:or-v1-)?[A-Za-z0-9]{32}",),
    # Clouds.
    "AccessKey of Alibaba Cloud": (r"\bLTAI[A-Za-z0-9]{12,26}\b",),
    "SecretId of Tencent Cloud": (r"\bAKID[A-Za-z0-9]{32}\b",),
    "Amazon Bedrock API Key": (r"\bABSK[A-Za-z0-9+/]{109}",),
    "Azure Client Secret": (r"\b[A-Za-z0-9_.~-]{3}[78]Q~[A-Za-z0-9_.~-]{31,34}",),
    "Google OAuth": (r"\bGOCSPX-[A-Za-z0-9_-]{28}", r"\bya29\.[A-Za-z0-9_-]{20}", r"\b1//0[A-Za-z0-9_-]{40}"),
    "DigitalOcean Token": (r"\bdo[opr]_v1_[a-f0-9]{64}",),
    "Cloudflare Origin CA Key": (r"\bv1\.0-[a-f0-9]{24}-[a-f0-9]{146}",),
    "Fly.io Token": (r"\bfm[12][ar]?_[A-Za-z0-9+/=_-]{40}",),
    "Heroku API Key": (r"\bHRKU-AA[A-Za-z0-9_-]{50}",),
    "Databricks Token": (r"\bdapi[a-f0-9]{32}\b",),
    "PlanetScale Token": (r"\bpscale_(?:pw|tkn|oauth)_[A-Za-z0-9_.=-]{32}",),
    "Supabase Key": (r"\bsbp_[a-f0-9]{40}\b", r"\bsb_secret_[A-Za-z0-9_-]{20}"),
    "Terraform Cloud Token": (r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70}",),
    "Pulumi Token": (r"\bpul-[a-f0-9]{40}\b",),
    "Doppler Token": (r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,44}\b",),
    "HashiCorp Vault Token": (r"\bhv[bs]\.[A-Za-z0-9_-]{24}",),
    "Tailscale Key": (r"\btskey-(?:auth|api|client|scim|webhook)-[A-Za-z0-9-]{20}",),
    # Code, packages and what watches them.
    "GitHub Token": (r"github_pat_[A-Za-z0-9_]{22}",),
    "Bitbucket Token": (r"\bATBB[A-Za-z0-9]{28,40}\b",),
    "Atlassian API Token": (r"\bATATT3[A-Za-z0-9_=-]{30}",),
    "NPM Token": (r"\bnpm_[A-Za-z0-9]{36}\b",),
    "RubyGems Key": (r"\brubygems_[a-f0-9]{48}\b",),
    "crates.io Token": (r"\bcio[A-Za-z0-9]{32}\b",),
    "Docker Hub Token": (r"\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{20}",),
    "Grafana Token": (r"\bglsa_[A-Za-z0-9]{32}_[a-f0-9]{8}\b", r"\bglc_[A-Za-z0-9+/]{32}"),
    "New Relic Key": (r"\bNRAK-[A-Z0-9]{27}\b",),
    "Sentry Token": (r"\bsntrys_[A-Za-z0-9+/=_]{50}", r"\bsntryu_[a-f0-9]{64}\b"),
    "Postman API Key": (r"\bPMAK-[a-f0-9]{24}-[a-f0-9]{34}\b",),
    "Linear API Key": (r"\blin_api_[A-Za-z0-9]{40}\b",),
    "Notion Token": (r"\bntn_[A-Za-z0-9]{40,60}\b", r"\bsecret_[A-Za-z0-9]{43}\b"),
    "Figma Token": (r"\bfig[dour]{1,2}_[A-Za-z0-9_-]{40}",),
    "Airtable Token": (r"\bpat[A-Za-z0-9]{14}\.[a-f0-9]{64}\b",),
    # Mail, money, messages.
    "Mailgun Key": (r"(?:^|[^A-Za-z0-9_-])(key-[a-z0-9]{32})\b", r"\b[a-f0-9]{32}-[a-f0-9]{8}-[a-f0-9]{8}\b"),
    "Brevo API Key": (r"\bxkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}\b",),
    "Resend API Key": (r"\bre_[A-Za-z0-9]{8}_[A-Za-z0-9]{24}\b",),
    "Stripe Test Key": (r"\b[rs]k_test_[A-Za-z0-9]{24}",),
    "Shopify Token": (r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b",),
    "Slack Token": (r"\bxapp-\d-[A-Za-z0-9]{1,40}-\d{1,40}-[a-f0-9]{32}", r"\bxoxe-\d-[A-Za-z0-9-]{20}"),
    # The rest.
    "age Secret Key": (r"\bAGE-SECRET-KEY-1[A-Z0-9]{58}",),
    "Webhook Secret": (r"\bwhsec_[A-Za-z0-9+/=]{24}",),
    "hookyard Token": (r"\bhky_[A-Za-z0-9_-]{20}",),
    # Base64 of -----BEGIN (RSA |EC |OPENSSH |)PRIVATE, as Kubernetes keeps keys.
    "Private Key": (
        r"LS0tLS1CRUdJTi(?:BSU0EgUFJJVkFURS|BQUklWQVRFI|BFQyBQUklWQVRFI|BPUEVOU1NIIFBSSVZBVEUg|BFTkNSWVBURUQgUFJJVkFURSBL)[A-Za-z0-9+/=]{12}",
    ),
}

# A value in quotes of either kind, or a word; three groups.
_WORD = r"[!#-&(-,.-~][!#-~]{5,199}"
_VALUE = rf"(?:\"([^\"\n]{{6,200}})\"|'([^'\n]{{6,200}})'|({_WORD}))"
_KEY_VALUE = r"[\"']?([A-Za-z0-9_./+=~%|:-]{16,500})(?:[\"'\s;,&|)}\]\\]|$)"
# What stands between a command and the option: not the next command.
_REST = r"\b[^\n|;&]{0,200}?\s"
# The beginning of a netrc entry up to the password.
_NETRC = r"(?:\s{1,40}(?:login|account)\s{1,40}[!-~]{1,200}){0,2}\s{1,40}password\s{1,40}"

_COMMANDS = (
    r"\bsshpass\s{1,8}(?:-v\s{1,8}|-P ?[!-~]{1,40}\s{1,8}){0,2}-p ?",
    r"\b(?:mysql|mysqldump|mysqladmin|mysqlimport|mysqlshow|mariadb|mariadb-dump|mariadb-admin|mycli|7za?|7zz)"
    + _REST
    + "-p",
    r"\b(?:docker|podman|nerdctl|buildah|skopeo|oras|crane|helm|helm registry|az|oc|argocd)\s{1,8}login"
    + _REST
    + "-p ",
    r"\b(?:twine|cqlsh|mongo|mongosh|mongodump|mongorestore|mongoexport|mongoimport)" + _REST + "-p ",
    r"\b(?:sqlcmd|bcp|zip|unzip|mosquitto_pub|mosquitto_sub)" + _REST + "-P ?",
    r"\bredis-cli" + _REST + "-a ",
    r"\bldap(?:search|add|modify|delete|whoami|passwd|compare)" + _REST + "-w ",
    r"\b(?:xfreerdp|wlfreerdp|rdesktop)" + _REST + "(?:/p:|-p )",
    r"\s-pass(?:in|out)?\s{1,8}pass:",  # of openssl
    r"\s-(?:store|key|srcstore|deststore|srckey|destkey)pass\s{1,8}",  # of keytool
    r"\bhtpasswd" + _REST + r"-[a-zA-Z]{0,4}b[a-zA-Z]{0,4}\s{1,8}[!-~]{1,100}\s{1,8}[!-~]{1,60}\s{1,8}",
)
# A user's name stands before the password, in the same quotes.
_ECHO = r"\becho\s{1,8}(?:-n\s{1,8})?"
# A user's name and a sign stand before the password, in the same quotes; and what must follow.
_COMMANDS_WITH_USER = (
    (r"\bcurl" + _REST + r"(?:-u|-U|--user|--proxy-user)[ =]?", ":", ""),
    (r"\b(?:smbclient|rpcclient)" + _REST + r"(?:-U|--user)[ =]?", "%", ""),
    (r"\blftp" + _REST + r"-u ?", ",", ""),
    (_ECHO, ":", r"\s{0,8}\|\s{0,8}(?:sudo\s{1,8})?chpasswd\b"),
)


def _with_user(begin: str, sign: str, end: str) -> str:
    name = rf"[^\s{sign}\"']{{1,100}}{sign}"
    return rf"{begin}(?:\"{name}([^\"\n]{{6,200}})\"|'{name}([^'\n]{{6,200}})'|{name}([^\s\"']{{6,200}})){end}"


_OF_COMMAND = "Password of a command"
_NAMED: tuple[SecretPattern, ...] = (
    *(SecretPattern(_OF_COMMAND, begin + _VALUE, is_named=True) for begin in _COMMANDS),
    *(SecretPattern(_OF_COMMAND, _with_user(*parts), is_named=True) for parts in _COMMANDS_WITH_USER),
    SecretPattern(_OF_COMMAND, _ECHO + _VALUE + r"\s{0,8}\|\s{0,8}sudo\s{1,8}-S\b", is_named=True),
    SecretPattern(
        _OF_COMMAND,
        r"(?:^|\s)--(?:http-|ftp-|proxy-|db-)?(?:password|passwd|pass|passphrase|token|auth-token|access-token|api-token"
        r"|api-key|apikey|secret-key|secret-access-key|client-secret)(?:=|\s{1,8})" + _VALUE,
        is_named=True,
        is_weak=True,
    ),
    SecretPattern("Password of netrc", r"\bmachine\s{1,40}[!-~]{1,255}" + _NETRC + _VALUE, is_named=True),
    SecretPattern("Password of netrc", r"(?:^|\n)\s{0,8}default" + _NETRC + _VALUE, is_named=True, is_weak=True),
    SecretPattern(
        "Password of pgpass",
        r"(?m)^(?:[A-Za-z0-9_.-]{1,255}|\*):(?:\d{4,5}|\*):(?:[A-Za-z_][^:\s]{0,62}|\*):(?:[A-Za-z_][^:\s]{0,62}|\*)"
        r":([^:\s]{6,200})\r?$",
        is_named=True,
        is_weak=True,
    ),
    SecretPattern(
        "Address of a chat robot",
        r"(?:dingtalk\.(?:com|io)/robot/send\?access_token=|qyapi\.weixin\.qq\.com/cgi-bin/webhook/send\?key="
        r"|/open-apis/bot/v2/hook/|discord(?:app)?\.com/api/webhooks/\d{15,20}/|hooks\.slack\.com/(?:workflows|triggers)/"
        r"|\.webhook\.office\.com/webhookb2/)([A-Za-z0-9_/@-]{20,300})",
        is_named=True,
    ),
    SecretPattern(
        "Authorization header",
        r"(?i)\bauthorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:bearer|basic|token)\s{1,8}([!-~]{16,500})",
        is_named=True,
    ),
    SecretPattern(
        "Key in a header",
        r"(?i)\b(?:x-api-key|api-key|x-auth-token|x-access-token|x-vault-token|private-token|job-token|deploy-token"
        r"|x-gitlab-token|x-figma-token|x-goog-api-key|x-amz-security-token|x-rapidapi-key|ocp-apim-subscription-key)"
        r"[\"']?\s{0,4}:\s{0,4}" + _KEY_VALUE,
        is_named=True,
        is_weak=True,
    ),
    SecretPattern(
        "Key in an address",
        r"[?&](?:access_token|private_token|api_?key|client_secret|sig|X-Amz-Signature|X-Amz-Security-Token)="
        r"([A-Za-z0-9_.~%+/-]{16,900})",
        is_named=True,
        is_weak=True,
    ),
    SecretPattern(
        "Token in an address",
        r"\bhttps?://([A-Za-z0-9_-]{20,200})@(?:github\.com|gitlab\.com|bitbucket\.org|dev\.azure\.com|huggingface\.co)",
        is_named=True,
        is_weak=True,
    ),
    SecretPattern("Basic Auth Credentials", r"\b[a-z][a-z0-9+.-]{1,20}://:([^\s@/:\"'<>]{6,200})@", is_named=True),
    SecretPattern(
        "Key in a variable",
        r"\b[A-Z][A-Z0-9_]{1,60}_(?:TOKEN|PAT|PASS|PASSPHRASE|CREDENTIALS?)[\"']?\s{0,4}[:=]\s{0,4}" + _KEY_VALUE,
        is_named=True,
        is_weak=True,
    ),
    SecretPattern(
        "Token",
        r"(?i)[\"']?\b(?:access|refresh|auth|session|bearer|bot|api|personal_access|deploy)[_-]?token[\"']?\s{0,4}[:=]"
        r"\s{0,4}[\"']([A-Za-z0-9_./+=~|-]{20,500})[\"']",
        is_named=True,
        is_weak=True,
    ),
    SecretPattern("Token of npm", r"\b_auth(?:Token)?[\"']?\s{0,4}[:=]\s{0,4}" + _VALUE, is_named=True, is_weak=True),
    SecretPattern(
        "Credentials of a registry", r"\"auth\"\s{0,4}:\s{0,4}\"([A-Za-z0-9+/=]{16,500})\"", is_named=True, is_weak=True
    ),
    SecretPattern("Azure Shared Access Key", r"\bSharedAccessKey=([A-Za-z0-9+/]{43}=)", is_named=True),
    SecretPattern("Password of Ansible", r"\bansible_[a-z_]{0,30}pass[\"']?\s{0,4}[:=]\s{0,4}" + _VALUE, is_named=True),
    SecretPattern(
        "Password or key",
        r"(?:密码|口令|密钥|令牌)[\"']?\s{0,4}(?:是|为|[:：=])\s{0,4}[\"'“「]?([!-~]{6,200})",
        is_named=True,
    ),
)

SECRET_PATTERNS: tuple[SecretPattern, ...] = (
    *(SecretPattern(kind, text) for kind, texts in _KEYS.items() for text in texts),
    *_NAMED,
)
"""Every shape."""
