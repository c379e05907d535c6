#include "services/detection/domain/indicators.h"

#include <algorithm>
#include <array>
#include <set>

#include "fmt/format.h"

#include "common/event/event_view.h"
#include "common/status/status.h"
#include "common/text/printable.h"
#include "services/detection/domain/event_filter.h"

namespace yagura::detection {
namespace {

constexpr std::string_view kField = "hunt.indicators.text";
constexpr size_t kMaxIndicator = 1024;
constexpr size_t kMaxShown = 256;
constexpr size_t kMaxDomain = 253;
constexpr size_t kMaxLabel = 63;
// Of one question to the archive, which takes 8 KiB with what else is asked.
constexpr size_t kPartBytes = 4 * 1024;
constexpr size_t kMaxFound = 16;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsHex(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
// What a host name or a hash is made of.
bool IsNameCharacter(char c) {
  return IsDigit(c) || IsLetter(c) || c == '-' || c == '_' || c == '.';
}

absl::Status BadLine(size_t line, std::string_view reason) {
  return InvalidField(kField, fmt::format("line {}: {}", line, reason));
}

void ReplaceAll(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

// Without what keeps people from following it by accident.
std::string Refanged(std::string_view given) {
  std::string text(given);
  for (const std::string_view dot : {"[.]", "(.)", "{.}", "[dot]"}) ReplaceAll(text, dot, ".");
  ReplaceAll(text, "[:]", ":");
  ReplaceAll(text, "[://]", "://");
  if (ToLower(text.substr(0, 4)) == "hxxp") text.replace(0, 4, "http");
  return text;
}

bool IsDomain(std::string_view text) {
  if (text.size() > kMaxDomain || text.find('.') == std::string_view::npos) return false;
  bool letters = false;
  for (const auto label : Split(text, '.')) {
    if (label.empty() || label.size() > kMaxLabel || label.front() == '-' || label.back() == '-') {
      return false;
    }
    for (const char c : label) {
      if (!IsNameCharacter(c) || c == '.') return false;
    }
    letters = std::ranges::any_of(label, [](char c) { return !IsDigit(c); });
  }
  return letters;  // of the last label: 10.1.1 is no domain
}

// Takes the host name of "host:port/path" off.
std::string_view HostOf(std::string_view location) {
  const std::string_view authority = location.substr(0, location.find_first_of("/?#"));
  const size_t at = authority.rfind('@');
  const std::string_view host = at == std::string_view::npos ? authority : authority.substr(at + 1);
  return host.substr(0, host.find(':'));
}

absl::StatusOr<Indicator> ParseNetwork(std::string_view text, size_t slash, size_t line) {
  Indicator indicator;
  indicator.type = Indicator::Type::kNetwork;
  const auto address = ParseAddress(text.substr(0, slash));
  const auto prefix = ParseNumber<int>(text.substr(slash + 1));
  const int most = address && address->v4 ? 32 : 128;
  if (!address || !prefix || *prefix < 0 || *prefix > most) {
    return BadLine(line, "is no network in CIDR notation");
  }
  if (*prefix < (address->v4 ? 8 : 16)) {
    return BadLine(line,
                   fmt::format("a network wider than /{} names too much", address->v4 ? 8 : 16));
  }
  indicator.address = address->bytes;
  indicator.prefix = address->v4 ? *prefix + 96 : *prefix;
  return indicator;
}

absl::StatusOr<Indicator> ParseOne(std::string_view given, size_t line) {
  if (given.size() > kMaxIndicator) {
    return BadLine(line, fmt::format("longer than {} bytes", kMaxIndicator));
  }
  if (!IsValidUtf8(given) || std::ranges::any_of(given, [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
      })) {
    return BadLine(line, "has characters that no indicator has");
  }
  const std::string text = Refanged(given);
  if (std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) >= 0x80; })) {
    return BadLine(line, "has other characters than ASCII; logs have such names as \"xn--...\"");
  }
  Indicator indicator;
  if (const auto address = ParseAddress(text)) {
    indicator.address = address->bytes;
  } else if (const size_t scheme = text.find("://"); scheme != std::string::npos) {
    indicator.type = Indicator::Type::kUrl;
    indicator.text = ToLower(std::string_view(text).substr(scheme + 3));
    const std::string_view host = HostOf(indicator.text);
    if (!IsDomain(host) && !ParseAddress(host)) return BadLine(line, "is a URL without a host");
  } else if (const size_t slash = text.find('/');
             slash != std::string::npos && ParseAddress(text.substr(0, slash))) {
    YAGURA_ASSIGN_OR_RETURN(indicator, ParseNetwork(text, slash, line));
  } else if (slash != std::string::npos && IsDomain(HostOf(text))) {
    indicator.type = Indicator::Type::kUrl;
    indicator.text = ToLower(text);
  } else if (std::ranges::all_of(text, IsHex) &&
             (text.size() == 32 || text.size() == 40 || text.size() == 64)) {
    indicator.type = Indicator::Type::kHash;
    indicator.text = ToLower(text);
  } else if (IsDomain(text)) {
    indicator.type = Indicator::Type::kDomain;
    indicator.text = ToLower(text);
  } else {
    return BadLine(line, fmt::format("\"{}\" is no address, network, domain, URL or hash",
                                     Printable(text, 100)));
  }
  indicator.shown = ToValidUtf8(std::string_view(text).substr(0, kMaxShown));
  return indicator;
}

// Cells of one line of CSV; quotes may be doubled. No cell has line ends.
std::vector<std::string> Cells(std::string_view line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      cells.back() += '"';
      ++i;
    } else if (c == '"' && (quoted || cells.back().empty())) {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      cells.emplace_back();
    } else {
      cells.back() += c;
    }
  }
  for (auto& cell : cells) cell = Trim(cell);
  return cells;
}

// The column that a heading calls so; nothing where the line is no heading.
std::optional<size_t> ColumnOf(const std::vector<std::string>& cells) {
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string name = ToLower(cells[i]);
    if (name == "indicator" || name == "value" || name == "ioc") return i;
  }
  return std::nullopt;
}

bool IsIn(const Indicator& network, const AddressBytes& address) {
  for (int bit = 0; bit < network.prefix; bit += 8) {
    const auto at = static_cast<size_t>(bit / 8);
    const int bits = std::min(8, network.prefix - bit);
    const auto mask = static_cast<uint8_t>(0xff << (8 - bits));
    if ((network.address[at] & mask) != (address[at] & mask)) return false;
  }
  return true;
}

std::string KeyOf(const AddressBytes& address) {
  return {reinterpret_cast<const char*>(address.data()), address.size()};
}

void AddOnce(std::vector<IndicatorMatcher::Named>& found, size_t indicator,
             std::string_view field) {
  if (found.size() >= kMaxFound) return;
  for (const auto& one : found) {
    if (one.indicator == indicator) return;
  }
  found.push_back({indicator, field});
}

}  // namespace

absl::StatusOr<std::vector<Indicator>> ParseIndicators(std::string_view text) {
  if (text.size() > kMaxIndicatorText) {
    return InvalidField(kField, fmt::format("longer than {} KiB", kMaxIndicatorText / 1024));
  }
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  std::vector<Indicator> indicators;
  std::set<std::string> known;
  size_t column = 0;
  bool first = true;
  size_t number = 0;
  for (std::string_view line : Split(text, '\n')) {
    ++number;
    line = Trim(line);
    if (line.empty() || line.front() == '#') continue;
    const std::vector<std::string> cells = Cells(line);
    const bool is_first = std::exchange(first, false);
    if (const auto named = is_first ? ColumnOf(cells) : std::nullopt) {
      column = *named;
      continue;
    }
    if (column >= cells.size() || cells[column].empty()) {
      return BadLine(number, fmt::format("has nothing in column {}", column + 1));
    }
    YAGURA_ASSIGN_OR_RETURN(Indicator indicator, ParseOne(cells[column], number));
    if (!known
             .insert(fmt::format("{} {} {} {}", static_cast<int>(indicator.type), indicator.text,
                                 KeyOf(indicator.address), indicator.prefix))
             .second) {
      continue;
    }
    if (indicators.size() == kMaxIndicators) {
      return BadLine(number, fmt::format("more than {} indicators", kMaxIndicators));
    }
    indicators.push_back(std::move(indicator));
  }
  if (indicators.empty()) return InvalidField(kField, "names no indicator");
  return indicators;
}

IndicatorMatcher::IndicatorMatcher(std::vector<Indicator> indicators)
    : indicators_(std::move(indicators)) {
  std::ranges::stable_sort(indicators_, {}, [](const Indicator& one) {
    return one.type != Indicator::Type::kAddress && one.type != Indicator::Type::kNetwork;
  });
  for (size_t i = 0; i < indicators_.size(); ++i) {
    const Indicator& one = indicators_[i];
    switch (one.type) {
      case Indicator::Type::kAddress:
        addresses_.emplace(KeyOf(one.address), i);
        break;
      case Indicator::Type::kNetwork:
        networks_.push_back(i);
        break;
      case Indicator::Type::kUrl:
        urls_[std::string(HostOf(one.text))].push_back(i);
        break;
      default:
        words_.emplace(one.text, i);
    }
  }
  MakeParts();
}

// Addresses are asked for by the typed columns, all else as words of the raw line and by the
// columns of names. What a part asks for is at least what Find finds of its indicators.
void IndicatorMatcher::MakeParts() {
  constexpr std::array kAddressPaths = {"src.ip", "dst.ip", "src.translated_ip",
                                        "dst.translated_ip"};
  constexpr std::array kNamePaths = {"url", "dst.host", "src.host", "host"};
  for (size_t first = 0; first < indicators_.size();) {
    const bool by_address = indicators_[first].text.empty();
    std::vector<std::string> any;
    size_t bytes = 0;
    size_t last = first;
    for (; last < indicators_.size() && bytes < kPartBytes; ++last) {
      const Indicator& one = indicators_[last];
      if (one.text.empty() != by_address) break;
      if (by_address) {
        for (const char* path : kAddressPaths) {
          any.push_back(fmt::format("{} = {}", path, QuoteFilterText(one.shown)));
          bytes += any.back().size() + 4;
        }
        continue;
      }
      const std::string word = QuoteFilterText(
          one.type == Indicator::Type::kUrl ? HostOf(one.text) : std::string_view(one.text));
      any.push_back(word);
      for (const char* path : kNamePaths) {
        any.push_back(fmt::format("{}:{}", path, word));
        bytes += any.back().size() + 4;
      }
      bytes += word.size() + 4;
    }
    parts_.push_back({Join(any, " OR "), first, last});
    first = last;
  }
}

std::vector<IndicatorMatcher::Named> IndicatorMatcher::Find(const event::v1::Event& event) const {
  std::vector<Named> found;
  if (!addresses_.empty() || !networks_.empty()) {
    LookAtAddress(event.src().ip(), "src.ip", found);
    LookAtAddress(event.dst().ip(), "dst.ip", found);
    LookAtAddress(event.src().translated_ip(), "src.translated_ip", found);
    LookAtAddress(event.dst().translated_ip(), "dst.translated_ip", found);
  }
  if (!words_.empty() || !urls_.empty()) {
    LookAtText(event.url(), "url", found);
    if (event.url().starts_with('/') && !event.dst().host().empty()) {
      LookAtText(event.dst().host() + event.url(), "url", found);
    }
    LookAtText(event.dst().host(), "dst.host", found);
    LookAtText(event.src().host(), "src.host", found);
    LookAtText(event.host(), "host", found);
    LookAtText(event.raw(), "raw", found);
  }
  std::ranges::sort(found, {}, &Named::indicator);
  return found;
}

void IndicatorMatcher::LookAtAddress(std::string_view bytes, std::string_view field,
                                     std::vector<Named>& found) const {
  const auto address = ParseAddress(event::IpAddress::FromBytes(bytes).ToString());
  if (bytes.empty() || !address) return;
  if (const auto one = addresses_.find(KeyOf(address->bytes)); one != addresses_.end()) {
    AddOnce(found, one->second, field);
  }
  for (const size_t i : networks_) {
    if (IsIn(indicators_[i], address->bytes)) AddOnce(found, i, field);
  }
}

// Words of name characters; each is a name, a hash, or neither.
void IndicatorMatcher::LookAtText(std::string_view given, std::string_view field,
                                  std::vector<Named>& found) const {
  if (given.empty()) return;
  const std::string text = ToLower(given);
  for (size_t begin = 0; begin < text.size();) {
    if (!IsNameCharacter(text[begin])) {
      ++begin;
      continue;
    }
    size_t end = begin;
    while (end < text.size() && IsNameCharacter(text[end])) ++end;
    const std::string_view word = std::string_view(text).substr(begin, end - begin);
    LookAtWord(word, field, found);
    if (const auto of_host = urls_.find(word); of_host != urls_.end()) {
      for (const size_t i : of_host->second) {
        const std::string& url = indicators_[i].text;
        const size_t before = url.find(word);
        if (before <= begin && std::string_view(text).substr(begin - before).starts_with(url)) {
          AddOnce(found, i, field);
        }
      }
    }
    begin = end;
  }
}

void IndicatorMatcher::LookAtWord(std::string_view word, std::string_view field,
                                  std::vector<Named>& found) const {
  // A sentence ends with a dot, a fully qualified name too.
  while (word.ends_with('.')) word.remove_suffix(1);
  // The name itself and those that it is below of.
  for (size_t at = 0; at < word.size();) {
    if (const auto one = words_.find(word.substr(at)); one != words_.end()) {
      if (at == 0 || indicators_[one->second].type == Indicator::Type::kDomain) {
        AddOnce(found, one->second, field);
      }
    }
    const size_t dot = word.find('.', at);
    if (dot == std::string_view::npos) return;
    at = dot + 1;
  }
}

}  // namespace yagura::detection
