#include "services/notification/domain/mime.h"

#include <algorithm>
#include <cctype>
#include <ctime>

#include "fmt/format.h"

#include "common/text/text.h"

namespace yagura::notification {
namespace {

// A line has at most 998 bytes; beside a name stands an address.
constexpr size_t kLongestPlain = 900;
constexpr size_t kLongestPlainName = 200;

bool IsPlain(unsigned char byte) { return byte >= 0x20 && byte < 0x7f; }

// What a display name may hold without quotes (RFC 5322, atext).
bool IsAtomOrSpace(char c) {
  static constexpr std::string_view kOthers = " !#$%&'*+-/=?^_`{|}~";
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         kOthers.find(c) != std::string_view::npos;
}

size_t SequenceLength(unsigned char first) {
  if (first < 0x80) return 1;
  if (first < 0xe0) return 2;
  return first < 0xf0 ? 3 : 4;
}

// Control characters become spaces: a header is one line, whatever was put in.
std::string OneLine(std::string_view text) {
  std::string line = ToValidUtf8(text);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return line;
}

// Printable ASCII that nobody takes for an encoded word.
bool IsPlainText(std::string_view line) {
  return line.find("=?") == std::string_view::npos &&
         std::all_of(line.begin(), line.end(),
                     [](char c) { return IsPlain(static_cast<unsigned char>(c)); });
}

// RFC 2047, folded: words that never split a character.
std::string EncodedWords(std::string_view line) {
  static constexpr size_t kWordBytes = 42;  // 42 bytes are 56 of base64: a word of 68 characters
  std::string out;
  for (size_t i = 0; i < line.size();) {
    size_t end = i;
    while (end < line.size()) {
      const size_t length = SequenceLength(static_cast<unsigned char>(line[end]));
      if (end + length - i > kWordBytes) break;
      end += length;
    }
    if (!out.empty()) out += "\r\n ";
    out += fmt::format("=?UTF-8?B?{}?=", Base64Encode(line.substr(i, end - i)));
    i = end;
  }
  return out;
}

// RFC 5322 date in UTC, in English whatever the locale.
std::string DateText(TimePoint time) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto days = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(days);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::seconds>(time - days));
  return fmt::format(
      "{}, {} {} {} {:02}:{:02}:{:02} +0000", kDays[std::chrono::weekday(days).c_encoding()],
      static_cast<unsigned>(date.day()), kMonths[static_cast<unsigned>(date.month()) - 1],
      static_cast<int>(date.year()), clock.hours().count(), clock.minutes().count(),
      clock.seconds().count());
}

// For ids, which are ours: what does not belong there is dropped.
std::string IdText(std::string_view text) {
  std::string id;
  for (const char c : text) {
    if (IsPlain(static_cast<unsigned char>(c)) && c != ' ' && c != '<' && c != '>') id += c;
  }
  return id;
}

}  // namespace

bool IsMailAddress(std::string_view text) {
  if (text.size() < 3 || text.size() > 254) return false;
  const auto allowed = [](char c) {
    static constexpr std::string_view kForbidden = " \"(),:;<>[]\\";
    return IsPlain(static_cast<unsigned char>(c)) && kForbidden.find(c) == std::string_view::npos;
  };
  if (!std::all_of(text.begin(), text.end(), allowed)) return false;
  const size_t at = text.find('@');
  if (at == 0 || at == std::string_view::npos || at > 64) return false;
  const std::string_view domain = text.substr(at + 1);
  return !domain.empty() && domain.find('@') == std::string_view::npos && domain.front() != '.' &&
         domain.back() != '.' && domain.front() != '-' &&
         std::all_of(domain.begin(), domain.end(), [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-';
         });
}

std::string EncodeHeaderText(std::string_view text) {
  std::string line = OneLine(text);
  return IsPlainText(line) && line.size() <= kLongestPlain ? line : EncodedWords(line);
}

std::string EncodeDisplayName(std::string_view text) {
  const std::string line = OneLine(text);
  const std::string_view name = Trim(line);
  if (name.size() > kLongestPlainName || !IsPlainText(name)) return EncodedWords(name);
  if (std::all_of(name.begin(), name.end(), IsAtomOrSpace)) return std::string(name);
  std::string quoted = "\"";
  for (const char c : name) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

std::string QuotedPrintable(std::string_view text) {
  static constexpr size_t kLine = 76;
  std::string out;
  size_t column = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == '\n') {
      out += "\r\n";
      column = 0;
      continue;
    }
    const bool before_break = i + 1 == text.size() || text[i + 1] == '\n';
    // "From " at the start of a line is altered by old mailboxes; a lone dot by careless relays.
    const bool risky = column == 0 && (byte == '.' || byte == 'F');
    const bool literal = (byte > 0x20 && byte < 0x7f && byte != '=' && !risky) ||
                         ((byte == ' ' || byte == '\t') && !before_break);
    const size_t width = literal ? 1 : 3;
    if (column + width > kLine - 1) {
      out += "=\r\n";
      column = 0;
    }
    if (literal) {
      out += static_cast<char>(byte);
    } else {
      out += fmt::format("={:02X}", byte);
    }
    column += width;
  }
  if (column > 0) out += "\r\n";
  return out;
}

std::string RenderMail(const Mail& mail) {
  std::string out;
  const auto add = [&out](std::string_view name, std::string_view value) {
    out += fmt::format("{}: {}\r\n", name, value);
  };
  add("Date", DateText(mail.date));
  const std::string sender = EncodeDisplayName(mail.from_name);
  add("From", sender.empty() ? mail.from : fmt::format("{} <{}>", sender, mail.from));
  add("To", mail.to);
  add("Subject", EncodeHeaderText(mail.subject));
  add("Message-ID", fmt::format("<{}>", IdText(mail.message_id)));
  add("Auto-Submitted", "auto-generated");
  for (const auto& [name, value] : mail.x_headers) add(name, EncodeHeaderText(value));
  add("MIME-Version", "1.0");
  add("Content-Type", "text/plain; charset=utf-8");
  add("Content-Transfer-Encoding", "quoted-printable");
  out += "\r\n";
  out += QuotedPrintable(ToValidUtf8(mail.body));
  return out;
}

}  // namespace yagura::notification
