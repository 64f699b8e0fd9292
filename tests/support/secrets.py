"""Secrets of every known form, made up here, so that no scanner of secrets takes this repository for a leak."""

from __future__ import annotations

import base64
import random
import string

HEX = "0123456789abcdef"
ALNUM = string.ascii_letters + string.digits
URL_SAFE = ALNUM + "_-"
BASE64 = ALNUM + "+/"


class Bodies:
    """Makes the random parts of secrets; always the same ones, each with letters and digits."""

    def __init__(self, seed: int = 7) -> None:
        self._random = random.Random(seed)  # nothing is kept secret by it

    def of(self, chars: str, count: int) -> str:
        """Returns a text of that many of the characters; it starts and ends with a letter or a digit."""
        ends = [char for char in chars if char.isalnum()]
        while True:
            body = [self._random.choice(chars) for _ in range(count)]
            body[0], body[-1] = self._random.choice(ends), self._random.choice(ends)
            text = "".join(body)
            if count < 8 or (any(map(str.isdigit, text)) and any(map(str.isalpha, text))):
                return text

    def hex(self, count: int) -> str:
        """Returns hexadecimal digits."""
        return self.of(HEX, count)

    def alnum(self, count: int) -> str:
        """Returns letters and digits."""
        return self.of(ALNUM, count)

    def upper(self, count: int) -> str:
        """Returns capitals and digits."""
        return self.of(string.ascii_uppercase + string.digits, count)

    def digits(self, count: int) -> str:
        """Returns digits."""
        return "".join(self._random.choice(string.digits) for _ in range(count))

    def url_safe(self, count: int) -> str:
        """Returns base64 for URLs."""
        return self.of(URL_SAFE, count)

    def base64(self, count: int) -> str:
        """Returns base64, without padding."""
        return self.of(BASE64, count)

    def uuid(self) -> str:
        """Returns a UUID."""
        return "-".join(self.hex(count) for count in (8, 4, 4, 4, 12))


def _jwt(make: Bodies) -> str:
    header, claims = (
        base64.urlsafe_b64encode(part).decode().rstrip("=")
        for part in (b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"1234567890"}')
    )
    return f"{header}.{claims}.{make.url_safe(43)}"


def by_form(seed: int = 7) -> dict[str, str]:
    """Returns one secret of every form that is known without its name."""
    make = Bodies(seed)
    alnum, hexa, url_safe, upper = make.alnum, make.hex, make.url_safe, make.upper
    return {
        # providers of models
        "OpenAI, old": "sk-" + alnum(20) + "T3" + "BlbkFJ" + alnum(20),
        "OpenAI, project": "sk-" + "proj-" + url_safe(74) + "T3" + "BlbkFJ" + url_safe(74),
        "OpenAI, service account": "sk-" + "svcacct-" + url_safe(74),
        "OpenAI, admin": "sk-" + "admin-" + url_safe(74),
        "OpenAI, session": "sess" + "-" + alnum(40),
        "Anthropic": "sk-" + "ant-api03-" + url_safe(93) + "AA",
        "Anthropic, admin": "sk-" + "ant-admin01-" + url_safe(93) + "AA",
        "Anthropic, OAuth": "sk-" + "ant-oat01-" + url_safe(93) + "AA",
        "OpenRouter": "sk-" + "or-v1-" + hexa(64),
        "DeepSeek": "sk-" + hexa(32),
        "LiteLLM": "sk-" + url_safe(22),
        "Langfuse": "sk-" + "lf-" + make.uuid(),
        "Groq": "gsk" + "_" + alnum(52),
        "xAI": "xai" + "-" + alnum(80),
        "Perplexity": "pplx" + "-" + alnum(48),
        "Cerebras": "csk" + "-" + alnum(48),
        "NVIDIA": "nvapi" + "-" + url_safe(64),
        "Hugging Face": "hf" + "_" + make.of(string.ascii_letters + "09", 34),
        "Hugging Face, organization": "api_org" + "_" + alnum(34),
        "Replicate": "r8" + "_" + alnum(37),
        "Fireworks": "fw" + "_" + alnum(24),
        "Together": "tgp" + "_v1_" + url_safe(43),
        "Anyscale": "esecret" + "_" + alnum(28),
        "ElevenLabs": "sk" + "_" + hexa(48),
        "Gemini": "AI" + "za" + "Sy" + url_safe(33),
        "Voyage": "pa" + "-" + url_safe(43),
        "Jina": "jina" + "_" + alnum(60),
        "Tavily": "tvly" + "-" + alnum(32),
        "Pinecone": "pcsk" + "_" + alnum(6) + "_" + alnum(63),
        "LangSmith": "lsv2" + "_pt_" + hexa(32) + "_" + hexa(10),
        "LlamaCloud": "llx" + "-" + alnum(48),
        "Firecrawl": "fc" + "-" + hexa(32),
        "E2B": "e2b" + "_" + hexa(40),
        "RunPod": "rpa" + "_" + upper(40),
        "Zhipu": hexa(32) + "." + alnum(16),
        "Baidu": "bce-v3/" + "AL" + "TAK-" + alnum(21) + "/" + hexa(40),
        "Weights & Biases": "wandb" + "_v1_" + alnum(60),
        "Bedrock": "AB" + "SK" + make.base64(120),
        "Azure": alnum(52) + "JQQJ" + "99" + upper(26),
        # clouds and hosting
        "AWS": "AK" + "IA" + upper(16),
        "AWS, temporary": "AS" + "IA" + upper(16),
        "AWS, session": "IQoJ" + "b3JpZ2lu" + make.base64(200),
        "Google, OAuth": "ya" + "29.a0" + url_safe(120),
        "Google, client secret": "GOC" + "SPX-" + url_safe(28),
        "Entra ID": alnum(3) + "8Q" + "~" + url_safe(34),
        "Alibaba": "LT" + "AI" + alnum(20),
        "Tencent": "AK" + "ID" + alnum(32),
        "Yandex": "AQ" + "VN" + url_safe(36),
        "DigitalOcean": "dop" + "_v1_" + hexa(64),
        "DigitalOcean, OAuth": "doo" + "_v1_" + hexa(64),
        "Databricks": "da" + "pi" + hexa(32),
        "Vercel": "vcp" + "_" + alnum(56),
        "Vercel, AI gateway": "vck" + "_" + alnum(56),
        "Netlify": "nfp" + "_" + alnum(36),
        "Heroku": "HRKU" + "-AA" + url_safe(58),
        "Fly.io": "fm2" + "_" + make.base64(120),
        "Cloudflare": "cfut" + "_" + alnum(48),
        "Supabase": "sbp" + "_" + hexa(40),
        "Supabase, secret": "sb" + "_secret_" + url_safe(31),
        "Neon": "napi" + "_" + alnum(64),
        "PlanetScale": "pscale" + "_tkn_" + url_safe(43),
        "HashiCorp Vault": "hv" + "s." + "CAES" + "I" + url_safe(90),
        "HashiCorp Vault, old": "s" + "." + alnum(24),
        "HCP Terraform": alnum(14) + ".atlas" + "v1." + url_safe(64),
        "Doppler": "dp" + ".pt." + alnum(43),
        "Pulumi": "pul" + "-" + hexa(40),
        "1Password": "ops" + "_ey" + "J" + alnum(260),
        "age": "AGE-SECRET" + "-KEY-1" + upper(58),
        "OpenShift": "sha256" + "~" + url_safe(43),
        # code and packages
        "GitHub": "gh" + "p_" + alnum(36),
        "GitHub, OAuth": "gh" + "o_" + alnum(36),
        "GitHub, user": "gh" + "u_" + alnum(36),
        "GitHub, server": "gh" + "s_" + alnum(36),
        "GitHub, refresh": "gh" + "r_" + alnum(76),
        "GitHub, fine-grained": "github" + "_pat_" + alnum(22) + "_" + alnum(59),
        "GitLab": "glpat" + "-" + url_safe(20),
        "GitLab, routable": "glpat" + "-" + url_safe(27) + "." + "01" + "." + alnum(9).lower(),
        "GitLab, deploy": "gldt" + "-" + url_safe(20),
        "GitLab, runner": "glrt" + "-" + url_safe(20),
        "Bitbucket": "AT" + "BB" + alnum(32),
        "Atlassian": "AT" + "ATT3" + url_safe(186),
        "npm": "npm" + "_" + alnum(36),
        "PyPI": "pypi" + "-AgEIcHlwaS5vcmc" + url_safe(80),
        "RubyGems": "rubygems" + "_" + hexa(48),
        "Docker": "dckr" + "_pat_" + url_safe(27),
        "Artifactory": "AK" + "Cp" + alnum(69),
        "CircleCI": "CCI" + "PAT_" + alnum(22) + "_" + hexa(40),
        "Buildkite": "bkua" + "_" + hexa(40),
        "SonarQube": "squ" + "_" + hexa(40),
        "Sourcegraph": "sgp" + "_" + hexa(40),
        "Postman": "PM" + "AK-" + hexa(24) + "-" + hexa(34),
        # messages, money, observation
        "Slack, bot": "xox" + "b-" + make.digits(12) + "-" + make.digits(13) + "-" + alnum(24),
        "Slack, user": "xox" + "p-" + make.digits(12) + "-" + make.digits(12) + "-" + make.digits(12) + "-" + hexa(32),
        "Slack, app": "xapp" + "-1-" + upper(11) + "-" + make.digits(13) + "-" + hexa(64),
        "Slack, refresh": "xox" + "e-1-" + upper(146),
        "Discord": "M" + alnum(25) + "." + alnum(6) + "." + url_safe(38),
        "Telegram": make.digits(10) + ":AA" + url_safe(33),
        "Twilio": "S" + "K" + hexa(32),
        "SendGrid": "S" + "G." + url_safe(22) + "." + url_safe(43),
        "Mailgun": "key" + "-" + hexa(32),
        "Mailchimp": hexa(32) + "-us" + "12",
        "Brevo": "xkeysib" + "-" + hexa(64) + "-" + alnum(16),
        "Resend": "re" + "_" + alnum(8) + "_" + alnum(24),
        "Stripe": "sk" + "_live_" + alnum(24),
        "Stripe, restricted": "rk" + "_live_" + alnum(24),
        "Stripe, test": "sk" + "_test_" + alnum(24),
        "Stripe, webhook": "wh" + "sec_" + alnum(32),
        "Square": "sq0" + "atp-" + url_safe(22),
        "Shopify": "shp" + "at_" + hexa(32),
        "Shopify, shared": "shp" + "ss_" + hexa(32),
        "Plaid": "access" + "-sandbox-" + make.uuid(),
        "Grafana": "gl" + "sa_" + alnum(32) + "_" + hexa(8),
        "Grafana, cloud": "gl" + "c_" + make.base64(60),
        "New Relic": "NR" + "AK-" + upper(27),
        "New Relic, license": hexa(36) + "NR" + "AL",
        "Sentry": "sntrys" + "_" + "eyJpYXQiO" + alnum(60),
        "Sentry, user": "sntryu" + "_" + hexa(64),
        "PostHog": "phx" + "_" + alnum(43),
        "Dynatrace": "dt0" + "c01." + upper(24) + "." + upper(64),
        "LaunchDarkly": "sdk" + "-" + make.uuid(),
        # tools
        "Linear": "lin" + "_api_" + alnum(40),
        "Notion": "ntn" + "_" + make.digits(11) + alnum(35),
        "Notion, old": "secret" + "_" + alnum(43),
        "Airtable": "pat" + alnum(14) + "." + hexa(64),
        "Figma": "figd" + "_" + url_safe(40),
        "Typeform": "tfp" + "_" + url_safe(44),
        "Facebook": "EA" + "AC" + alnum(120),
        "Dropbox": "sl" + "." + url_safe(135),
        "JSON web token": _jwt(make),
        "MaxMind": alnum(6) + "_" + alnum(29) + "_m" + "mk",
        "Langfuse, public": "pk" + "-lf-" + make.uuid(),
        "Octopus Deploy": "AP" + "I-" + upper(26),
        "Bedrock, short-lived": "bedrock" + "-api-key-" + alnum(8) + make.base64(100),
        "Flutterwave": "FLW" + "SECK_TEST-" + hexa(32) + "-X",
        "Scalingo": "tk" + "-us-" + url_safe(48),
        "1Password, secret key": "A" + "3-" + "-".join(upper(count) for count in (6, 6, 5, 5, 5, 5)),
        "Yandex, IAM": "t" + "1." + url_safe(60) + "." + url_safe(86),
        "Baidu, access key": "AL" + "TAK-" + alnum(21),
        "Twilio, account": "A" + "C" + hexa(32),
        "EasyPost": "EZ" + "AK" + alnum(54),
        "Grafana, old": "ey" + "JrIjoi" + alnum(80),
        "Google, refresh token": "1" + "//0g" + url_safe(100),
        "Google, authorization code": "4" + "/0A" + url_safe(70),
        "Gemini, bound to an account": "A" + "Q.Ab8R" + url_safe(48),
        "Cloudflare, origin CA": "v1" + ".0-" + hexa(24) + "-" + hexa(146),
        "Tailscale": "tskey" + "-auth-k" + alnum(11) + "CNTRL-" + alnum(32),
        "Contentful": "CF" + "PAT-" + url_safe(43),
        "Chutes": "cpk" + "_" + hexa(32) + "." + hexa(32) + "." + alnum(32),
    }
