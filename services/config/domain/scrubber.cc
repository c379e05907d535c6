#include "services/config/domain/scrubber.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"
#include "re2/re2.h"

namespace yagura::config {
namespace {

// The one group of each rule is the secret.
constexpr const char* kRules[] = {
    // A text that looks like a mark of ours must come back as it was.
    R"((<secret:[0-9a-f]{16}>))",
    // Keys in PEM form.
    R"((?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(.*?)-----END)",
    // Words that name a secret, then the secret: `password 7 0822455D0A16`, `set psksecret ENC x`,
    // `community "public"`, `api_key=abc`, `key-string x`.
    R"re((?i)\b(?:password|passwd|passphrase|passwort|secret|psk|psksecret|pre-?shared-?key|)re"
    R"re(community|private-?key|key-string|auth-?key|priv-?key|encryption-?key|api[-_]?key|token|)re"
    R"re(credential|ppk-secret|wpa-psk|authentication-key|md5-key)["']?)re"
    R"re((?:[ \t]*[=:][ \t]*|[ \t]+)(?:(?:ENC|[0-9]|\$[0-9]|ascii-text|plain-text|hex|)re"
    R"re(encrypted|cipher|simple)[ \t]+)?("(?:[^"\\\n]|\\.)+"|'[^'\n]+'|[^\s"';,{}]+))re",
    // Password hashes, whatever they are called.
    R"((\$(?:1|2[abxy]?|5|6|7|8|9|y|sha1|argon2[id]{1,2})\$[A-Za-z0-9./$=,+_-]{8,}))",
    // User and password in a URL.
    R"(://[^\s/:@"']+:([^\s/@"']+)@)",
};

struct Span {
  size_t begin;
  size_t end;
};

// The spans of every rule, in order; of those that overlap, the union.
std::vector<Span> Merge(std::vector<Span> spans) {
  std::sort(spans.begin(), spans.end(),
            [](const Span& a, const Span& b) { return a.begin < b.begin; });
  std::vector<Span> merged;
  for (const Span& span : spans) {
    if (!merged.empty() && span.begin < merged.back().end) {
      merged.back().end = std::max(merged.back().end, span.end);
    } else {
      merged.push_back(span);
    }
  }
  return merged;
}

constexpr std::string_view kMarkBegin = "<secret:";
constexpr size_t kMarkSize = kMarkBegin.size() + 16 + 1;

bool IsMark(std::string_view text) {
  return text.size() >= kMarkSize && text.substr(0, kMarkBegin.size()) == kMarkBegin &&
         text[kMarkSize - 1] == '>' &&
         std::all_of(text.begin() + kMarkBegin.size(), text.begin() + kMarkSize - 1,
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

struct Scrubber::Rules {
  std::vector<std::unique_ptr<const RE2>> patterns;
};

Scrubber::Scrubber() {
  auto rules = std::make_unique<Rules>();
  RE2::Options options;
  options.set_encoding(RE2::Options::EncodingLatin1);  // any bytes
  options.set_log_errors(false);
  options.set_max_mem(32 << 20);
  for (const char* rule : kRules) {
    auto pattern = std::make_unique<RE2>(rule, options);
    if (!pattern->ok()) abort();  // the rules are constants
    rules->patterns.push_back(std::move(pattern));
  }
  rules_ = std::move(rules);
}

Scrubber::~Scrubber() = default;

StatusOr<Scrubbed> Scrubber::Scrub(std::string_view text, const Fingerprint& fingerprint) const {
  std::vector<Span> spans;
  for (const auto& pattern : rules_->patterns) {
    re2::StringPiece rest(text.data(), text.size());
    re2::StringPiece secret;
    while (RE2::FindAndConsume(&rest, *pattern, &secret)) {
      const auto begin = static_cast<size_t>(secret.data() - text.data());
      spans.push_back({begin, begin + secret.size()});
    }
  }
  Scrubbed result;
  size_t copied = 0;
  for (const Span& span : Merge(std::move(spans))) {
    const std::string_view secret = text.substr(span.begin, span.end - span.begin);
    YAGURA_ASSIGN_OR_RETURN(const std::string print, fingerprint(secret));
    std::string mark = fmt::format("{}{}>", kMarkBegin, print);
    result.text += text.substr(copied, span.begin - copied);
    result.text += mark;
    result.secrets.emplace(std::move(mark), secret);
    copied = span.end;
  }
  result.text += text.substr(copied);
  return result;
}

StatusOr<std::string> RestoreSecrets(std::string_view field, std::string_view text,
                                     const std::map<std::string, std::string>& secrets) {
  std::string restored;
  size_t copied = 0;
  for (size_t at = text.find(kMarkBegin); at != std::string_view::npos;
       at = text.find(kMarkBegin, at + 1)) {
    if (!IsMark(text.substr(at))) continue;
    const auto secret = secrets.find(std::string(text.substr(at, kMarkSize)));
    if (secret == secrets.end()) {
      const auto line = std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(at), '\n');
      return InvalidField(
          field, fmt::format("line {}: this <secret:...> mark is not of the base", line + 1));
    }
    restored += text.substr(copied, at - copied);
    restored += secret->second;
    copied = at + kMarkSize;
  }
  restored += text.substr(copied);
  return restored;
}

}  // namespace yagura::config
