#include "services/detection/domain/advice.h"

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <set>

#include "fmt/format.h"
#include "yaml-cpp/yaml.h"

#include "common/status/status.h"
#include "common/text/printable.h"
#include "common/text/text.h"
#include "services/detection/domain/event_facts.h"
#include "services/detection/domain/fate.h"

namespace yagura::detection {
namespace {

using v1::Finding;

constexpr size_t kMaxValue = 120;
constexpr size_t kMaxFilled = 6000;
constexpr size_t kMaxListed = 200;
constexpr size_t kMaxNamed = 3;

constexpr std::array<std::string_view, 2> kLanguages = {"en", "ja"};

Status Bad(std::string_view id, std::string_view reason) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_ADVICE",
                   fmt::format("{}: {}", id, reason));
}

// " sql injection ": words in lower case with one blank between and around them.
std::string PaddedWords(std::string_view text) {
  std::string words = " ";
  for (const char c : ToLower(text)) {
    const bool is_word =
        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || static_cast<unsigned char>(c) >= 0x80;
    if (is_word) words += c;
    if (!is_word && words.back() != ' ') words += ' ';
  }
  if (words.back() != ' ') words += ' ';
  return words;
}

// What stands for a value that a finding does not have.
struct Placeholder {
  std::string_view name;
  std::string_view en;
  std::string_view ja;
};
constexpr auto kPlaceholders = std::to_array<Placeholder>({
    {"cve", "no CVE id is given", "CVE 番号の記載なし"},
    {"destination", "the destination", "宛先"},
    {"device", "the device", "当該機器"},
    {"file", "no file is named", "ファイル名の記載なし"},
    {"firewall", "the firewall in the path", "経路上のファイアウォール"},
    {"host", "the host", "当該ホスト"},
    {"interval", "some time", "一定時間"},
    {"log_source", "(no name)", "（名称なし）"},
    {"observed", "another number", "不明な量"},
    {"port", "that is attacked", "（不明）"},
    {"signature", "no signature is named", "シグネチャ名の記載なし"},
    {"source", "the source", "送信元"},
    {"target", "the target", "宛先"},
    {"url", "an address that is not named", "記載のない宛先"},
    {"usual", "others", "不明な量"},
    {"user", "an account that is not named", "（アカウント名の記載なし）"},
});

const Placeholder* FindPlaceholder(std::string_view name) {
  const auto* found = std::ranges::find(kPlaceholders, name, &Placeholder::name);
  return found == kPlaceholders.end() ? nullptr : found;
}

// What a mail program must not make a link of.
std::string Defanged(std::string text) {
  for (size_t at = text.find("://"); at != std::string::npos; at = text.find("://", at + 5)) {
    text.replace(at, 3, "[:]//");
  }
  std::string out;
  for (const char c : text) out += c == '.' ? std::string("[.]") : std::string(1, c);
  return out;
}

// A value as it may stand in a text: what looks like a link or an address of mail, which whoever is
// behind the event may have chosen, is none.
std::string Harmless(std::string_view value) {
  std::string text = Printable(value, kMaxValue);
  const bool leads = text.find("://") != std::string::npos || text.find('@') != std::string::npos ||
                     text.find("www.") != std::string::npos;
  return leads ? Defanged(std::move(text)) : text;
}

// The values of one finding for the places of a text.
class Values {
 public:
  Values(const Finding& finding, bool japanese) : finding_(finding), japanese_(japanese) {}

  std::string Of(const Placeholder& place) const {
    std::string value = Find(place.name);
    return value.empty() ? std::string(japanese_ ? place.ja : place.en) : value;
  }

 private:
  std::string Find(std::string_view name) const {
    const auto& event = finding_.event();
    if (name == "source") return Ends("source", event.src().host());
    if (name == "target") return Ends("target", event.dst().host());
    if (name == "port") return event.dst().port() == 0 ? "" : fmt::format("{}", event.dst().port());
    if (name == "device") return Device();
    if (name == "firewall") return Firewall();
    if (name == "signature") return Signatures();
    if (name == "url") return Named({v1::URL}, "");
    if (name == "cve") return Named({v1::VULNERABILITY}, "");
    if (name == "file") return Named({v1::FILE, v1::FILE_HASH}, "");
    if (name == "user") return Named({v1::USER}, "");
    if (name == "host") {
      const std::string host = Named({v1::HOST}, "host");
      return host.empty() ? Device() : host;
    }
    if (name == "log_source") return Matched("source");
    if (name == "destination" || name == "interval" || name == "observed" || name == "usual") {
      return Matched(name);
    }
    return {};
  }

  // Values of entities, the first few.
  std::string Named(const std::set<int>& types, std::string_view role) const {
    std::vector<std::string> values;
    for (const auto& entity : finding_.entities()) {
      if (!types.contains(entity.type()) || (!role.empty() && entity.role() != role)) continue;
      values.push_back(entity.type() == v1::URL ? Defanged(Printable(entity.value(), kMaxValue))
                                                : Harmless(entity.value()));
    }
    return Listed(values);
  }

  // Of all that the evidence has, each once; evidence of earlier releases has none.
  std::string Signatures() const {
    std::vector<std::string> values;
    const auto add = [&values](const std::string& signature) {
      std::string value = Harmless(signature);
      if (value.empty() || std::ranges::find(values, value) != values.end()) return;
      values.push_back(std::move(value));
    };
    add(finding_.event().signature());
    for (const auto& evidence : finding_.evidence()) add(evidence.signature());
    return Listed(values);
  }

  std::string Listed(std::vector<std::string> values) const {
    const size_t more = values.size() - std::min(values.size(), kMaxNamed);
    values.resize(values.size() - more);
    std::string text = Join(values, japanese_ ? "、" : ", ");
    if (more == 0) return text;
    return text +
           (japanese_ ? fmt::format(" ほか {} 件", more) : fmt::format(" and {} more", more));
  }

  // One end: its addresses, else its name.
  std::string Ends(std::string_view role, const std::string& host) const {
    const std::string addresses = Named({v1::IP_ADDRESS}, role);
    return addresses.empty() ? Harmless(host) : addresses;
  }

  std::string Device() const {
    const auto& event = finding_.event();
    return Harmless(finding_.device().empty() ? event.host() : finding_.device());
  }

  // Which rule on which device let it through, and so where it is to be stopped.
  std::string Firewall() const {
    const auto& event = finding_.event();
    if (!IsOfFirewall() || event.src().ip().empty() || Device().empty()) return {};
    if (event.rule().empty()) return Device();
    std::string rule = Harmless(event.rule());
    if (!event.virtual_context().empty()) {
      rule = fmt::format("{} ({})", rule, Harmless(event.virtual_context()));
    }
    if (finding_.action() == event::v1::BLOCKED) {
      return japanese_ ? fmt::format("{}（ルール {} で遮断済み）", Device(), rule)
                       : fmt::format("{} (whose rule {} stopped it)", Device(), rule);
    }
    return japanese_ ? fmt::format("{}（通過させたルール {} より上位）", Device(), rule)
                     : fmt::format("{} (above its rule {}, which let it through)", Device(), rule);
  }

  // Whether the device stood in the path. Others tell of sessions and log-ons, too, so that of
  // these only those are meant that name a rule by which they passed.
  bool IsOfFirewall() const {
    const event::v1::Action action = finding_.action();
    const bool decides = action == event::v1::ALLOWED || action == event::v1::DETECTED ||
                         action == event::v1::BLOCKED;
    return decides || (FateOf(action) == AttemptFate::kPassed && !finding_.event().rule().empty());
  }

  std::string Matched(std::string_view name) const {
    for (const auto& field : finding_.matched_fields()) {
      if (field.name() == name) return Harmless(field.value());
    }
    return {};
  }

  const Finding& finding_;
  const bool japanese_;
};

// Names between braces are places; everything else, and all that is filled in, stays as it is.
template <typename Place>
void ForEachPart(std::string_view text, const std::function<void(std::string_view)>& plain,
                 const Place& place) {
  while (!text.empty()) {
    const size_t open = text.find('{');
    const size_t close = open == std::string_view::npos ? open : text.find('}', open);
    if (close == std::string_view::npos) return plain(text);
    plain(text.substr(0, open));
    place(text.substr(open + 1, close - open - 1));
    text.remove_prefix(close + 1);
  }
}

std::string FillIn(std::string_view text, const Values& values) {
  std::string out;
  ForEachPart(
      text, [&out](std::string_view plain) { out += plain; },
      [&](std::string_view name) {
        const Placeholder* known = FindPlaceholder(name);
        if (known != nullptr) out += values.Of(*known);
      });
  return out.size() <= kMaxFilled ? out : ToValidUtf8(std::string_view(out).substr(0, kMaxFilled));
}

// Folded lines end in a blank or a line break; a text of people has none at its end.
StatusOr<std::string> TextIn(std::string_view id, const YAML::Node& node, const char* key) {
  const YAML::Node value = node[key];
  if (!value || !value.IsScalar()) return Bad(id, fmt::format("\"{}\" is missing", key));
  const std::string text(Trim(value.Scalar()));
  if (text.empty() || text.size() > AdviceBook::kMaxText) {
    return Bad(id,
               fmt::format("\"{}\" is empty or longer than {} bytes", key, AdviceBook::kMaxText));
  }
  if (!IsValidUtf8(text)) return Bad(id, fmt::format("\"{}\" is not UTF-8", key));
  std::optional<std::string> unknown;
  ForEachPart(
      text, [](std::string_view) {},
      [&](std::string_view name) {
        if (FindPlaceholder(name) == nullptr) unknown = std::string(name);
      });
  if (unknown) return Bad(id, fmt::format("placeholder {{{}}} is not known", *unknown));
  return text;
}

StatusOr<std::vector<std::string>> ListIn(std::string_view id, const YAML::Node& node,
                                          const char* key) {
  std::vector<std::string> list;
  const YAML::Node value = node[key];
  if (!value) return list;
  if (!value.IsSequence() || value.size() > kMaxListed) {
    return Bad(id, fmt::format("\"{}\" is no list, or longer than {}", key, kMaxListed));
  }
  for (const auto& one : value) {
    if (!one.IsScalar()) return Bad(id, fmt::format("\"{}\" has what is no text", key));
    list.push_back(ToLower(one.Scalar()));
  }
  return list;
}

Status CheckKeys(std::string_view id, const YAML::Node& node,
                 const std::set<std::string>& allowed) {
  if (!node.IsMap()) return Bad(id, "is not a map where one is expected");
  for (const auto& pair : node) {
    if (!pair.first.IsScalar() || !allowed.contains(pair.first.Scalar())) {
      return Bad(id, fmt::format("\"{}\" is not known",
                                 pair.first.IsScalar() ? pair.first.Scalar() : "?"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AdviceBook::Add(std::string_view id, std::string_view yaml) {
  if (yaml.size() > kMaxFile) return Bad(id, fmt::format("longer than {} bytes", kMaxFile));
  if (entries_.size() >= kMaxEntries) return Bad(id, fmt::format("more than {}", kMaxEntries));
  YAML::Node root;
  try {
    root = YAML::Load(std::string(yaml));
  } catch (const YAML::Exception& error) {
    return Bad(id, error.what());
  }
  YAGURA_RETURN_IF_ERROR(CheckKeys(id, root, {"match", "en", "ja"}));
  const YAML::Node match = root["match"];
  if (!match) return Bad(id, "\"match\" is missing");
  YAGURA_RETURN_IF_ERROR(CheckKeys(id, match, {"rules", "tags", "words", "default"}));
  Entry entry;
  YAGURA_ASSIGN_OR_RETURN(entry.rules, ListIn(id, match, "rules"));
  YAGURA_ASSIGN_OR_RETURN(entry.tags, ListIn(id, match, "tags"));
  YAGURA_ASSIGN_OR_RETURN(const auto words, ListIn(id, match, "words"));
  for (const auto& one : words) entry.words.push_back(PaddedWords(one));
  entry.is_default =
      match["default"] && match["default"].IsScalar() && match["default"].Scalar() == "true";
  for (const std::string_view language : kLanguages) {
    const YAML::Node texts = root[std::string(language)];
    if (!texts) return Bad(id, fmt::format("language \"{}\" is missing", language));
    YAGURA_RETURN_IF_ERROR(CheckKeys(id, texts, {"title", "cause", "countermeasure"}));
    Texts& own = entry.texts[std::string(language)];
    YAGURA_ASSIGN_OR_RETURN(own.title, TextIn(id, texts, "title"));
    YAGURA_ASSIGN_OR_RETURN(own.cause, TextIn(id, texts, "cause"));
    YAGURA_ASSIGN_OR_RETURN(own.countermeasure, TextIn(id, texts, "countermeasure"));
  }
  entries_.insert_or_assign(std::string(id), std::move(entry));
  return absl::OkStatus();
}

// A rule says all; words of the title say more than a technique, a technique more than a tactic.
int AdviceBook::Score(const Entry& entry, const Finding& finding, const std::string& words) {
  if (std::ranges::find(entry.rules, finding.rule_id()) != entry.rules.end()) return 1000;
  int score = entry.is_default ? 1 : 0;
  for (const auto& one : entry.words) {
    if (words.find(one) != std::string::npos) {
      score = std::max(score, 100 + static_cast<int>(std::min<size_t>(one.size(), 50)));
    }
  }
  int of_tags = 0;
  for (const std::string& wanted : entry.tags) {
    for (const std::string& tag : finding.tags()) {
      // "attack.t1003" is every technique below it, too, "cve" every vulnerability.
      const bool fits = tag == wanted || (tag.starts_with(wanted) && tag.size() > wanted.size() &&
                                          tag[wanted.size()] == '.');
      if (!fits) continue;
      const bool technique = wanted.starts_with("attack.t1") || wanted == "cve";
      of_tags = std::max(of_tags, technique ? 30 + static_cast<int>(wanted.size()) : 10);
    }
  }
  return score + of_tags;
}

std::string AdviceBook::Choose(const Finding& finding) const {
  const std::string words =
      PaddedWords(Printable(finding.title(), 300) + " | " + finding.event().signature());
  std::string best;
  int best_score = 0;
  for (const auto& [id, entry] : entries_) {
    const int score = Score(entry, finding, words);
    if (score <= best_score) continue;
    best = id;
    best_score = score;
  }
  return best;
}

v1::Advice AdviceBook::Fill(const Finding& finding,
                            const std::vector<std::string>& languages) const {
  v1::Advice advice;
  const auto chosen = entries_.find(Choose(finding));
  if (chosen == entries_.end()) return advice;
  advice.set_id(chosen->first);
  for (const std::string& language : languages) {
    const auto own = chosen->second.texts.find(language);
    if (own == chosen->second.texts.end()) continue;
    const Values values(finding, language == "ja");
    auto* texts = advice.add_texts();
    texts->set_language(language);
    texts->set_title(own->second.title);
    texts->set_cause(FillIn(own->second.cause, values));
    texts->set_countermeasure(FillIn(own->second.countermeasure, values));
  }
  return advice;
}

}  // namespace yagura::detection
