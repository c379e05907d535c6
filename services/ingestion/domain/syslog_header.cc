#include "services/ingestion/domain/syslog_header.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "services/ingestion/domain/level_word.h"
#include "services/ingestion/domain/time_text.h"

namespace yagura::ingestion {
namespace {

constexpr size_t kMaxStructuredFields = 1024;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// "<134>"; -1 and nothing taken where it is not there.
int TakePriority(std::string_view& text) {
  if (text.size() < 3 || text[0] != '<') return -1;
  int value = 0;
  size_t at = 1;
  while (at < text.size() && at < 4 && IsDigit(text[at])) value = value * 10 + (text[at++] - '0');
  if (at == 1 || at >= text.size() || text[at] != '>' || value > 191) return -1;
  text.remove_prefix(at + 1);
  return value;
}

void SkipSpaces(std::string_view& text) {
  const size_t start = text.find_first_not_of(' ');
  text.remove_prefix(std::min(start, text.size()));
}

std::string_view TakeToken(std::string_view& text) {
  const size_t end = std::min(text.find(' '), text.size());
  const std::string_view token = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return token;
}

std::string_view NilAsEmpty(std::string_view token) { return token == "-" ? "" : token; }

// A parameter's value after its opening quote, unescaped (\" \\ \]); takes the closing quote.
bool TakeParamValue(std::string_view& text, TextArena& arena, std::string_view* value) {
  size_t end = 0;
  bool escaped = false;
  while (end < text.size() && text[end] != '"') {
    if (text[end] == '\\') {
      escaped = true;
      ++end;
    }
    ++end;
  }
  if (end >= text.size()) return false;
  *value = text.substr(0, end);
  text.remove_prefix(end + 1);
  if (!escaped) return true;
  char* const start = arena.Reserve(value->size());
  char* out = start;
  for (size_t i = 0; i < value->size(); ++i) {
    const char next = i + 1 < value->size() ? (*value)[i + 1] : '\0';
    if ((*value)[i] == '\\' && (next == '"' || next == '\\' || next == ']')) ++i;
    *out++ = (*value)[i];
  }
  arena.Shrink(value->size(), static_cast<size_t>(out - start));
  *value = {start, static_cast<size_t>(out - start)};
  return true;
}

// One "[id name="value" ...]".
bool TakeElement(std::string_view& text, TextArena& arena, SyslogHeader* header) {
  std::string_view rest = text.substr(1);
  const size_t id_end = rest.find_first_of(" ]=\"");
  if (id_end == rest.npos || id_end == 0 || rest[id_end] == '=' || rest[id_end] == '"') {
    return false;
  }
  const std::string_view id = rest.substr(0, id_end);
  rest.remove_prefix(id_end);
  const size_t before = header->structured_data.size();
  for (;;) {
    SkipSpaces(rest);
    if (rest.empty()) return false;
    if (rest.front() == ']') break;
    const size_t equals = rest.find('=');
    if (equals == rest.npos || equals == 0 || equals + 1 >= rest.size()) return false;
    const std::string_view name = rest.substr(0, equals);
    if (rest[equals + 1] != '"' || name.find_first_of(" ]\"") != name.npos) return false;
    rest.remove_prefix(equals + 2);
    std::string_view value;
    if (!TakeParamValue(rest, arena, &value)) return false;
    if (header->structured_data.size() >= kMaxStructuredFields) return false;
    header->structured_data.push_back({arena.Join(id, ".", name), value});
  }
  if (header->structured_data.size() == before) header->structured_data.push_back({id, {}});
  text = rest.substr(1);
  return true;
}

void TakeStructuredData(std::string_view& text, TextArena& arena, SyslogHeader* header) {
  if (text.starts_with('-') && (text.size() == 1 || text[1] == ' ')) {
    text.remove_prefix(1);
    return;
  }
  while (text.starts_with('[')) {
    const size_t before = header->structured_data.size();
    if (!TakeElement(text, arena, header)) {
      header->structured_data.resize(before);  // it stays part of the body
      header->broken_structured_data = true;
      return;
    }
  }
}

void SkipBom(std::string_view& text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
}

// "HOST APP PROCID MSGID SD MSG" after the time of an RFC 5424 line.
void ReadRfc5424Rest(std::string_view text, TextArena& arena, SyslogHeader* header) {
  header->rfc5424 = true;
  header->host = NilAsEmpty(TakeToken(text));
  header->program = NilAsEmpty(TakeToken(text));
  header->process_id = NilAsEmpty(TakeToken(text));
  header->message_id = NilAsEmpty(TakeToken(text));
  TakeStructuredData(text, arena, header);
  if (text.starts_with(' ')) text.remove_prefix(1);
  SkipBom(text);
  header->body = text;
}

bool ReadRfc5424(std::string_view text, const SourceZone& zone, TextArena& arena,
                 SyslogHeader* header) {
  // VERSION SP TIMESTAMP SP; the only version is 1.
  if (!text.starts_with("1 ")) return false;
  text.remove_prefix(2);
  if (text.starts_with("- ")) {
    text.remove_prefix(2);
  } else {
    std::string_view rest = text;
    header->time = TakeIsoTime(rest, zone, &header->zone_used);
    if (!header->time || !rest.starts_with(' ')) {
      header->ClearTime();
      return false;
    }
    header->time_text = text.substr(0, text.size() - rest.size());
    text = rest.substr(1);
  }
  ReadRfc5424Rest(text, arena, header);
  return true;
}

// Senders exist that leave the version out: "TIME HOST APP PROCID MSGID [...".
bool LooksLikeRfc5424Rest(std::string_view text) {
  for (int i = 0; i < 4; ++i) {
    const std::string_view token = TakeToken(text);
    if (token.empty() || token.find_first_of("=[\":") != token.npos) return false;
  }
  return text.starts_with("[") && text.find("=\"") != text.npos;
}

bool IsTagChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || IsDigit(c) || c == '_' || c == '-' ||
         c == '.' || c == '/' || c == '(' || c == ')' || c == '%' || c == '*' || c == '@';
}

// "sshd[123]: " or "kernel: "; nothing taken where it is not there.
bool TakeTag(std::string_view& text, SyslogHeader* header) {
  size_t end = 0;
  while (end < text.size() && end < 64 && IsTagChar(text[end])) ++end;
  if (end == 0 || end == text.size()) return false;
  std::string_view rest = text.substr(end);
  std::string_view process_id;
  if (rest.front() == '[') {
    const size_t close = rest.substr(0, 64).find(']');
    if (close == rest.npos) return false;
    process_id = rest.substr(1, close - 1);
    if (process_id.find_first_of(" =\"") != process_id.npos) return false;
    rest.remove_prefix(close + 1);
    if (rest.starts_with(':')) rest.remove_prefix(1);
  } else if (rest.front() == ':') {
    rest.remove_prefix(1);
    if (!rest.empty() && rest.front() != ' ') return false;
  } else {
    return false;
  }
  header->program = text.substr(0, end);
  header->process_id = process_id;
  SkipSpaces(rest);
  text = rest;
  return true;
}

bool IsHostToken(std::string_view token) {
  if (token.empty() || token.size() > 255 || token.back() == ':') return false;
  return std::all_of(token.begin(), token.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || IsDigit(c) || c == '.' || c == '-' ||
           c == '_' || c == ':' || (c & 0x80) != 0;
  });
}

// A time at the front, behind Cisco's "*" (not synchronised), "." (was once) or ":" (EMBLEM).
bool TakeTime(std::string_view& text, TimePoint receive_time, const SourceZone& zone,
              SyslogHeader* header) {
  std::string_view rest = text;
  if (!rest.empty() && (rest.front() == '*' || rest.front() == '.' || rest.front() == ':')) {
    rest.remove_prefix(1);
  }
  bool zone_used = true;
  auto time = TakeBsdTime(rest, receive_time, zone);
  if (!time) {
    zone_used = false;
    time = TakeIsoTime(rest, zone, &zone_used);
  }
  // Else a number that only began like a time.
  if (!time || (!rest.empty() && rest.front() != ' ' && rest.front() != ':')) return false;
  header->time = time;
  header->zone_used = zone_used;
  header->time_text = text.substr(0, text.size() - rest.size());
  text = rest;
  return true;
}

// Letters that zones have, but several of them or ones that are not read: no name of a host.
bool HasSeveralMeanings(std::string_view name) {
  constexpr std::array<std::string_view, 32> kNames{
      "ACDT", "ACST", "ADT", "AEDT", "AEST", "AKDT", "AKST", "AMT", "ART",  "AST", "AWST",
      "BRT",  "BST",  "CAT", "CST",  "EAT",  "GST",  "HKT",  "HST", "ICT",  "IST", "KST",
      "MST",  "NDT",  "NST", "NZDT", "NZST", "PKT",  "SAST", "SGT", "WEST", "WIB"};
  return std::ranges::binary_search(kNames, name);
}

// Whether " host tag: " follows, so that the word before is no host. Of a word that is no zone for
// certain, host or tag must look more like what they are: a message may begin with "kernel error:
// ".
bool StandsBeforeHost(std::string_view rest, bool is_zone) {
  SkipSpaces(rest);
  const std::string_view host = TakeToken(rest);
  SyslogHeader behind;
  if (!IsHostToken(host) || !TakeTag(rest, &behind)) return false;
  return is_zone || !behind.process_id.empty() || host.find_first_of("0123456789.-") != host.npos;
}

// A zone by its letters behind a time: "UTC", "GMT" and "JST" are unmistakable; any other is only
// known to be one where Cisco's "%" or a host with its tag follows. One whose letters have no
// single meaning means the source's zone.
void TakeZoneName(std::string_view& text, TimePoint receive_time, const SourceZone& zone,
                  SyslogHeader* header) {
  if (!text.starts_with(' ')) return;
  size_t end = 1;
  while (end < text.size() && text[end] >= 'A' && text[end] <= 'Z') ++end;
  const std::string_view name = text.substr(1, end - 1);
  const std::string_view rest = text.substr(end);
  if (name.size() < 3 || name.size() > 5 || rest.empty()) return;
  // What the source's own zone is called comes before what the letters mean elsewhere.
  const auto seconds = std::chrono::floor<std::chrono::seconds>(*header->time);
  const bool is_own = header->zone_used && zone.IsCalled(name, seconds);
  const auto meant = ReadZoneName(name);
  const bool is_read = meant.has_value() && !is_own;
  const std::chrono::seconds offset = meant.value_or(std::chrono::seconds(0));
  const bool unmistakable = name == "JST" || name == "UTC" || name == "GMT";
  const bool follows = rest.front() == ' ' || rest.front() == ':';
  if (!(unmistakable && follows) && !rest.starts_with(": %") &&
      !(rest.front() == ' ' && name.size() < 5 && (is_own || is_read || HasSeveralMeanings(name)) &&
        StandsBeforeHost(rest, is_own || is_read))) {
    return;
  }
  if (is_read) {
    std::string_view time_text = header->time_text;
    const bool marked =
        time_text.front() == '*' || time_text.front() == '.' || time_text.front() == ':';
    if (marked) time_text.remove_prefix(1);
    auto time = TakeBsdTime(time_text, receive_time + offset, SourceZone());
    if (!time && header->zone_used) time = TakeIsoTime(time_text, SourceZone(), nullptr);
    if (time) header->time = *time - offset;
    header->zone_used = false;
  } else {
    header->unknown_zone = header->zone_used && !is_own;
    if (is_own) header->zone_used = false;
  }
  text = rest;
}

// Cisco's: "000123: rtr1: *Nov 21 09:15:42: %...", where number and host may each be missing.
bool TakeCiscoPrefix(std::string_view& text, TimePoint receive_time, const SourceZone& zone,
                     SyslogHeader* header) {
  constexpr size_t kLongest = 256;
  constexpr size_t kZoneRoom = 10;
  std::string_view rest = text;
  const auto take_token = [&rest]() -> std::string_view {
    const size_t end = rest.substr(0, kLongest).find(": ");
    if (end == rest.npos || !IsHostToken(rest.substr(0, end))) return {};
    const std::string_view token = rest.substr(0, end);
    rest.remove_prefix(end + 2);
    return token;
  };
  std::string_view host = take_token();
  if (host.empty()) return false;
  if (std::all_of(host.begin(), host.end(), IsDigit)) {  // the number of the message
    std::string_view ahead = rest;
    host = TakeTime(ahead, receive_time, zone, header) ? std::string_view{} : take_token();
    header->ClearTime();
  }
  if (!TakeTime(rest, receive_time, zone, header) ||
      rest.substr(0, kZoneRoom).find(": %") == rest.npos) {
    header->ClearTime();
    return false;
  }
  header->host = host;
  text = rest;
  return true;
}

// "1795220142.123456 fw1 ...", with a version before it or not: Meraki's.
bool TakeEpochTime(std::string_view& text, SyslogHeader* header) {
  std::string_view rest = text;
  if (rest.starts_with("1 ")) rest.remove_prefix(2);
  constexpr size_t kSeconds = 10;
  constexpr size_t kMilliseconds = 13;
  const size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
  if (digits != kSeconds && digits != kMilliseconds) return false;
  const size_t end = rest.find(' ');
  if (end == rest.npos) return false;
  // What follows must look like a host: a proxy's log begins with an epoch and a duration.
  std::string_view after = rest.substr(end + 1);
  const std::string_view host = TakeToken(after);
  if (!IsHostToken(host) || std::all_of(host.begin(), host.end(), IsDigit)) return false;
  const std::string_view time_text = rest.substr(0, end);
  header->time = ReadEpoch(time_text);
  if (!header->time) return false;
  header->time_text = time_text;
  text = rest.substr(end);
  return true;
}

// A head whose time cannot be read, or which has none: "fw1 sshd[42]: ", "?? fw1 sshd[42]: ".
bool TakeTagBehindUnknown(std::string_view& text, SyslogHeader* header) {
  std::string_view rest = text;
  for (int i = 0; i < 3; ++i) {
    const std::string_view before = TakeToken(rest);
    if (before.empty() || before.find_first_of("{[\"=") != before.npos) return false;
    const std::string_view tag = rest.substr(0, std::min(rest.find(' '), rest.size()));
    if (!tag.ends_with("]:")) continue;
    // Behind other words, words may be words.
    const bool host =
        IsHostToken(before) && (i == 0 || before.find_first_of("0123456789.-") != before.npos);
    if (!host || !TakeTag(rest, header)) return false;
    header->host = before;
    text = rest;
    return true;
  }
  return false;
}

// "ERROR boom", "ERROR: boom", as applications write: no host and no program. A host may be called
// "info" where a program follows, unless it is in capitals.
bool BeginsWithLevel(std::string_view text) {
  std::string_view after = text;
  std::string_view word = TakeToken(after);
  if (word.ends_with(':')) word.remove_suffix(1);
  if (!IsLevelWord(word)) return false;
  if (std::none_of(word.begin(), word.end(), [](char c) { return c >= 'a' && c <= 'z'; })) {
    return true;
  }
  SyslogHeader behind;
  return !TakeTag(after, &behind) || behind.process_id.empty();
}

void ReadRfc3164(std::string_view text, TimePoint receive_time, const SourceZone& zone,
                 TextArena& arena, SyslogHeader* header) {
  SkipSpaces(text);
  std::string_view rest = text;
  if (!TakeTime(rest, receive_time, zone, header) &&
      (header->priority < 0 ||
       (!TakeEpochTime(rest, header) && !TakeCiscoPrefix(rest, receive_time, zone, header)))) {
    // Without a time there may be a tag.
    if (header->priority >= 0 && !TakeTag(text, header)) TakeTagBehindUnknown(text, header);
    header->body = text;
    return;
  }
  TakeZoneName(rest, receive_time, zone, header);
  if (rest.starts_with(':')) rest.remove_prefix(1);
  SkipSpaces(rest);
  constexpr std::string_view kForwarded = "Message forwarded from ";  // AIX
  if (rest.starts_with(kForwarded)) {
    const size_t end = rest.find(": ");
    if (end != rest.npos) {
      header->host = rest.substr(kForwarded.size(), end - kForwarded.size());
      rest.remove_prefix(end + 2);
      TakeTag(rest, header);
      header->body = rest;
      return;
    }
  }
  if (LooksLikeRfc5424Rest(rest)) {
    ReadRfc5424Rest(rest, arena, header);
    return;
  }
  if (!BeginsWithLevel(rest) && !TakeTag(rest, header)) {
    std::string_view after = rest;
    const std::string_view host = TakeToken(after);
    if (IsHostToken(host) && !after.empty()) {
      header->host = host;
      SkipSpaces(after);
      rest = after;
      TakeTag(rest, header);
    }
  }
  SkipBom(rest);
  header->body = rest;
}

}  // namespace

void SyslogHeader::ClearTime() {
  time.reset();
  zone_used = false;
  time_text = {};
}

void SyslogHeader::Clear() {
  auto kept = std::move(structured_data);
  kept.clear();
  *this = SyslogHeader{};
  structured_data = std::move(kept);
}

void ReadSyslogHeader(std::string_view line, TimePoint receive_time, const SourceZone& zone,
                      TextArena& arena, SyslogHeader* header) {
  header->Clear();
  std::string_view text = line;
  SkipBom(text);
  header->priority = TakePriority(text);
  if (header->priority >= 0 && ReadRfc5424(text, zone, arena, header)) return;
  if (header->priority < 0) {
    // Lines of a file have no priority; only a time tells a header then.
    const char first = text.empty() ? '\0' : text.front();
    if (!IsDigit(first) && std::strchr("JFMASOND", first) == nullptr) {
      header->body = text;
      return;
    }
  }
  ReadRfc3164(text, receive_time, zone, arena, header);
}

}  // namespace yagura::ingestion
