r"""The secrets that are known by their form: the prefixes and shapes that their issuers gave them.

What these formats are was learned from the rules of gitleaks (https://github.com/gitleaks/gitleaks, MIT License,
Copyright 2019 Zachary Rice) and from the plugins of detect-secrets (https://github.com/Yelp/detect-secrets, Apache
License 2.0, Copyright Yelp). The expressions are our own, because ours read error messages and theirs source code:

- A secret may be cut short, so a beginning that no ordinary word has suffices.
- It may stand in escaped JSON, where ``n`` of ``\n`` precedes it, in a URL, or in a language without spaces.
- Each expression is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

# A secret starts where no word goes on. "%3D", "\n" and "\u003d" end in a letter or a digit, but are no word.
_START = r"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt])|(?<=\\u[0-9A-Fa-f]{4}))"

_W = r"[A-Za-z0-9_-]"
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# For prefixes that ordinary names have too, mostly without a digit.
_WITH_DIGIT = r"(?=[A-Za-z_-]{0,60}[0-9])"


class Form(NamedTuple):
    """Secrets that have something in common, by which most texts are known to have none of them."""

    character: str
    """Part of each of them. One character is looked for in 25 ns, a few of them in 150 ns."""
    mark: re.Pattern[str] | None
    """Part of each of them too, and starting with the character: found in 0.2 µs, as that one is looked for first."""
    secrets: Sequence[str]
    """The regular expressions, without what has to precede a secret."""
    pattern: re.Pattern[str]


def _form(character: str, mark: str | None, *secrets: str, start: str = _START) -> Form:
    pattern = re.compile(start + "(?:" + "|".join(f"(?:{secret})" for secret in secrets) + ")", re.ASCII)
    return Form(character, None if mark is None else re.compile(mark, re.ASCII), secrets, pattern)


_UNDERSCORED = _form(
    "_",
    # What follows is checked first, as few names go on for long, then the last two letters of each prefix.
    r"_(?=[A-Za-z0-9+/]{10}|[A-Za-z_-]{0,60}+[0-9])(?:"
    r"(?<=[cfprs]k_|[mrv]e_|[aekpsu]t_|[go]d_|h[ofx]_|[bcfghq]p_|[1ch]r_|[hmpsy]s_|[fhnqy]u_|r8_|[fpr]w_|pm_|[1cfnpqsu]a_"
    r"|[kt]n_|[cp]i_|2b_|[ehl]c_|m2_|th_|[ov]1_|AT_|R[JS]_)|(?<=api_org_)|(?=[A-Za-z0-9]{29}_mmk))",
    r"gsk_[A-Za-z0-9]{10,}",  # Groq
    r"(?:sk|rk|pk)_(?:live|test|prod)_[A-Za-z0-9]{8,}",  # Stripe, Clerk
    rf"(?:sk|rk|pk)_{_WITH_DIGIT}[A-Za-z0-9]{{16,}}",  # ElevenLabs, Novita
    r"github_pat_[A-Za-z0-9_]{16,}",
    r"gh[oprsu]_[A-Za-z0-9]{16,}",
    # Hugging Face, Replicate, Fireworks, npm, Grafana, Notion, Neon, Netlify, Jina, E2B, RunPod
    r"(?:hf|api_org|r8|fw|npm|glsa|ntn|napi|nfp|jina|e2b|rpa)_[A-Za-z0-9]{16,}(?:_[A-Za-z0-9]{4,80})?",
    r"pcsk_[A-Za-z0-9_]{16,}",  # Pinecone
    r"(?:glc|fm1[ar]|fm2)_[A-Za-z0-9+/=]{16,}",  # Grafana Cloud, Fly.io
    # Supabase, Linear, DigitalOcean, Together, Weights & Biases, LangSmith, Vercel, Docker, PostHog, Anyscale
    r"(?:sbp|sb_secret|lin_(?:api|oauth)|do[opr]_v1|tgp_v1|wandb_v1|lsv2_(?:pt|sk)|vc[aikpr]|vercel_blob_rw"
    rf"|dckr_[op]at|ph[cxs]|esecret)_{_W}{{16,}}",
    r"shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{16,}",  # Shopify
    r"whsec_[A-Za-z0-9+/=_-]{16,}",  # the webhooks of Stripe and Svix
    r"secret_[A-Za-z0-9]{30,}",  # Notion before 2024
    # PlanetScale, Buildkite, CircleCI, SonarQube, Prefect, Sentry, Sourcegraph, Shippo, Duffel, Typeform, Fly.io,
    # Cloudflare, 1Password, RubyGems, Clojars, ReadMe, Figma, SettleMint
    r"(?:pscale_(?:tkn|pw|oauth)|bkua|CCIPAT|CCIPRJ|sq[apu]|pnu|sntry[su]|sgp|shippo_(?:live|test)|duffel_(?:live|test)"
    r"|tfp|fo1|cf[aku]t?|ops|rubygems|CLOJARS|rdme|figd|sm_[aps]at)_"
    rf"{_WITH_DIGIT}[A-Za-z0-9+/=_-]{{16,}}(?:\.[A-Za-z0-9+/=_-]+)*",
    r"cpk_[A-Za-z0-9]{16,}(?:\.[A-Za-z0-9]+)*",  # Chutes
    rf"re_{_WITH_DIGIT}[A-Za-z0-9]{{6,40}}_[A-Za-z0-9]{{16,}}",  # Resend
    r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk",  # MaxMind
)

_SK = r"[A-Za-z0-9._~+/*=-]"

_HYPHENED = _form(
    "-",
    # What follows is checked first, as few names go on for long, then the last two letters of each prefix.
    r"-(?:(?=[A-Za-z0-9._~+/*=-]{6})(?:(?<=sk-)|(?=[A-Za-z0-9_+/=-]{8})(?:"
    r"(?<=[pr]k-|fc-|pa-|A3-|[ap]i-|lx-|ly-|x[abceoprs]-|pp-|[ABC]K-|JS-|[IP]I-|RA-|IQ-|ul-|co-|ss-|us-|PX-|ib-|KU-"
    r"|ST-|8e-|-u-|ey-|ud-|af-|GE-|AT-|\.0-)"
    r"|(?<=[st]-)(?:(?<=gl[a-z]{2}-)|(?<=gl[a-z]{3}-)|(?<=gl[a-z]{4}-)|(?<=glagent-))"
    r"|(?<=sq0[a-z]{3}-)|v3/(?<=bce-v3/)|[0-9a-f]{8}-[0-9a-f]{4}-))|us[0-9](?<=[0-9a-f]-us[0-9]))",
    # OpenAI, Anthropic, OpenRouter, DeepSeek, LiteLLM, Langfuse and many more. A prefix alone is none, nor is a key of
    # which its issuer shows no more than the last four characters ("sk-...abcd").
    # Nor is a name that counts the parameters of a model: sk-model-7b-v2.
    rf"sk-(?!ecdsa-|ssh-|[.*]*[A-Za-z0-9]{{0,4}}(?!{_SK})"
    r"|[a-z]{2,12}(?:-[a-z]{1,12}){0,3}-[0-9]{1,3}(?:\.[0-9])?b(?:-[a-z]{1,12}|-v?[0-9.]{1,4}){0,3}(?![A-Za-z0-9_-]))"
    r"(?:(?:ant-[a-z]{3,5}[0-9]{2}|proj|or-v1|svcacct|admin|lf|helicone)-)?+"
    rf"(?:(?=[A-Za-z._~+/*=-]{{0,200}}[0-9]){_SK}{{6}}|[A-Za-z0-9_*-]{{12}})(?:{_SK}*[A-Za-z0-9_*=-])?",
    rf"(?:rk|pk)-{_WITH_DIGIT}{_W}{{16,}}",
    # xAI, Perplexity, Cerebras, NVIDIA, Tavily, LlamaIndex, PyPI
    rf"(?:xai|pplx|csk|nvapi|tvly|llx|pypi)-(?:{_WITH_DIGIT}{_W}{{8}}|{_W}{{16}}){_W}*",
    rf"gl(?:pat|cbt|dt|ffct|ft|imt|agent|oas|ptt|rt|soat)-{_W}{{8,}}(?:\.{_W}+)*",  # GitLab
    rf"xox[abceoprs](?:\.xox[bp])?-{_W}{{8,}}|xapp-[0-9]-{_W}{{8,}}",  # Slack
    r"(?:pub)?key-[0-9a-f]{32}",  # Mailgun
    r"[0-9a-f]{32}-us[0-9]{1,2}",  # Mailchimp
    r"NR(?:AK|JS|II|RA|IQ)-[A-Za-z0-9-]{16,}",  # New Relic
    r"PMAK-[0-9a-f-]{16,}",  # Postman
    r"(?:pul|fc|ico)-[A-Za-z0-9]{30,}",  # Pulumi, Firecrawl, Infracost
    rf"(?:sess|pa)-{_WITH_DIGIT}{_W}{{36,}}",  # OpenAI's sessions, Voyage
    rf"GOCSPX-{_W}{{16,}}",  # Google's OAuth clients
    rf"sq0[a-z]{{3}}-{_W}{{16,}}",  # Square
    r"x(?:key|smtp)sib-[A-Za-z0-9-]{30,}",  # Brevo
    rf"HRKU-{_W}{{30,}}",  # Heroku
    r"API-[A-Z0-9]{26}",  # Octopus Deploy
    rf"(?:sdk|mob|api|rel)-{_UUID}",  # LaunchDarkly
    rf"access-(?:sandbox|development|production)-{_UUID}",  # Plaid
    r"bedrock-api-key-[A-Za-z0-9+/=]{16,}",
    r"bce-v3/[A-Za-z0-9/-]{20,}",  # Baidu
    rf"FLW(?:SEC|PUB)K(?:_TEST)?-{_W}{{12,}}",  # Flutterwave
    rf"(?:tk-us|p8e|fio-u|dnkey|s-s4t2ud|s-s4t2af)-{_W}{{24,}}",  # Scalingo, Adobe, Frame.io, Defined Networking, 42
    r"v1\.0-[0-9a-f]{24}-[0-9a-f]{32,}",  # Cloudflare
    rf"tskey-[a-z]{{2,10}}-{_W}{{8,}}",  # Tailscale
    rf"CFPAT-{_W}{{24,}}",  # Contentful
    r"AGE-SECRET-KEY-1[A-Z0-9]{16,}",
    r"A3-[A-Z0-9]{6}-[A-Z0-9]{6,11}-[A-Z0-9]{5}-[A-Z0-9-]{5,}",  # 1Password
)

_DOTTED = _form(
    ".",
    # Few names go on for 16 characters. What does not: the first part of Discord's, and the environment in Doppler's.
    rf"\.(?={_W}{{2}})(?:(?={_W}{{16}})(?:(?<=hv[sbr]\.|a29\.|c01\.|s01\.|sv1\.)|(?<=SG\.|sl\.|t1\.|AQ\.)"
    rf"|{_W}{{24}}(?:(?<=s\..{{24}})|(?<=mfa\..{{24}}))|[A-Za-z0-9]{{16}}(?<=[0-9a-f]{{32}}\..{{16}})"
    rf"|[0-9a-f]{{32}}(?<=pat[A-Za-z0-9]{{14}}\..{{32}}))|(?<=[tam]\.)(?<=\.[pcs]t\.|\.sa\.|cim\.|dit\.)"
    rf"|{_W}{{6}}\.{_W}{{20}})",
    rf"hv[sbr]\.{_W}{{16,}}",  # HashiCorp Vault
    rf"s\.{_WITH_DIGIT}[A-Za-z0-9]{{24}}(?![A-Za-z0-9])",  # and before version 1.10
    rf"ya29\.{_W}{{16,}}(?:\.{_W}+)*",  # Google's OAuth
    rf"SG\.{_W}{{16,}}(?:\.{_W}*)?",  # SendGrid
    rf"dp\.(?:pt|ct|st|sa|scim|audit)\.(?:{_W}{{2,35}}\.)?{_W}{{16,}}",  # Doppler
    r"dt0[cs]01\.[A-Za-z0-9]{16,}(?:\.[A-Za-z0-9]*)?",  # Dynatrace
    r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{16,}",  # HCP Terraform
    rf"[A-Z]{_W}{{22,28}}\.{_W}{{6}}\.{_W}{{20,}}|mfa\.{_W}{{24,}}",  # Discord
    r"pat[A-Za-z0-9]{14}\.[0-9a-f]{32,}",  # Airtable
    r"[0-9a-f]{32}\.[A-Za-z0-9]{16}(?![A-Za-z0-9])",  # Zhipu
    rf"AQ\.Ab8R{_W}{{16,}}",  # Gemini
    rf"sl\.{_W}{{100,}}",  # Dropbox
    rf"t1\.{_W}{{16,200}}={{0,2}}\.{_W}{{40,}}",  # Yandex
)

_WITH_A = _form(
    "A",
    r"A(?:KIA|SIA|BIA|CCA|3T|Iza|BSK|KCp|QVN|TATT|TCTT|TBB|KID|LTAK|C[0-9a-f]{8}"
    r"|(?<=EAA)[A-Za-z0-9]{8}|(?<=EZA)K|(?<=LTA)I|(?<=NRA)L|(?<=4/0A))",
    r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}",  # AWS
    r"ABSK[A-Za-z0-9+/=]{40,}",  # Bedrock
    rf"AIza{_W}{{10,}}",  # Google
    r"AKCp[A-Za-z0-9]{32,}",  # Artifactory
    rf"AQVN{_W}{{30,}}",  # Yandex
    r"AT(?:ATT3|CTT3|BB)[A-Za-z0-9_=-]{16,}",  # Atlassian
    r"AKID[A-Za-z0-9]{20,}",  # Tencent
    r"ALTAK-?[A-Za-z0-9]{12,}",  # Baidu
    r"LTAI[A-Za-z0-9]{12,}",  # Alibaba
    r"AC[0-9a-f]{32}",  # Twilio
    rf"EAA{_W}{{22,}}",  # Facebook, Square
    r"EZAK[A-Za-z0-9]{32,}",  # EasyPost
    r"[A-Za-z0-9]{36}NRAL",  # New Relic
    rf"4/0A{_W}{{20,}}",  # Google's OAuth codes
)

# In the URLs of Telegram a token follows the word "bot".
_TELEGRAM = _form(
    "A", r"A(?<=[0-9]:A)[A-Za-z0-9_-]{8}", r"[0-9]{8,10}:A[A-Za-z0-9_-]{30,}", start=r"(?:(?<![0-9])|(?<=%[0-9A-F]{2}))"
)

_TWILIO = _form("S", r"SK[0-9a-f]{8}", r"SK[0-9a-f]{32}")

_WITH_J = _form(
    "J",
    r"J(?:(?<=eyJ)|(?<=IQoJ)b3|QQJ9)",
    # JSON web tokens. One that was cut short is known by its length.
    rf"eyJ{_W}{{8,}}+(?:\.{_W}{{8,}}(?:\.{_W}*)?|(?<={_W}{{200}}))",
    r"eyJrIjoi[A-Za-z0-9+/=]{40,}",  # Grafana before 2023
    r"IQoJb3JpZ2lu(?:[A-Za-z0-9+/=]|%2[BF]|%3D){30,}",  # AWS's session tokens
    r"[A-Za-z0-9]{52}JQQJ9[A-Za-z0-9]{8,}",  # Azure
)

_TILDED = _form(
    "~",
    r"~(?<=[0-9]Q~|56~)[A-Za-z0-9_~.-]{16}",
    r"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{30,34}",  # Entra ID
    rf"sha256~{_W}{{30,}}",  # OpenShift
)

_SLASHED = _form(
    "/",
    r"//0",
    rf"1//0{_W}{{20,}}",  # Google's OAuth
)

# Found by a search that is made anyway, as four letters are looked for in as much time as six characters.
DATABRICKS = _form("dapi", None, r"dapi[0-9a-f]{32}(?:-[0-9])?")

FORMS = (_UNDERSCORED, _HYPHENED, _DOTTED, _WITH_A, _TELEGRAM, _TWILIO, _WITH_J, _TILDED, _SLASHED)
