// Any text in every place of a mail: pure ASCII, whole lines of bounded length, and exactly the
// headers that belong there.
//
// Input: sender's name, subject, id, value of a header, recipient, body, parted by 0x01.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "common/text/text.h"
#include "services/notification/domain/mime.h"

namespace {

using namespace yagura;  // NOLINT(google-build-using-namespace)

void Require(bool condition) {
  if (!condition) std::abort();
}

// The lines without CR LF, which must end each of them and stand nowhere else.
std::vector<std::string_view> LinesOf(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = text.find("\r\n");
    Require(end != std::string_view::npos && end <= 998);
    lines.push_back(text.substr(0, end));
    Require(lines.back().find_first_of("\r\n") == std::string_view::npos);
    for (const char c : lines.back()) Require(c == '\t' || (c >= 0x20 && c < 0x7f));
    text.remove_prefix(end + 2);
  }
  return lines;
}

// RFC 2047: every encoded word holds whole characters.
void CheckWords(std::string_view line) {
  constexpr std::string_view kBegin = "=?UTF-8?B?";
  for (size_t at = line.find(kBegin); at != std::string_view::npos; at = line.find(kBegin)) {
    line.remove_prefix(at + kBegin.size());
    const size_t end = line.find("?=");
    Require(end != std::string_view::npos);
    const auto word = Base64Decode(line.substr(0, end));
    Require(word.has_value() && IsValidUtf8(*word));
  }
}

void CheckHeaders(const std::vector<std::string_view>& lines) {
  constexpr std::array<std::string_view, 10> kNames = {
      "Date: ",         "From: ",
      "To: ",           "Subject: ",
      "Message-ID: ",   "Auto-Submitted: ",
      "X-Yagura: ",     "MIME-Version: ",
      "Content-Type: ", "Content-Transfer-Encoding: "};
  size_t next = 0;
  for (const std::string_view line : lines) {
    if (line.empty()) break;
    if (!line.starts_with("Message-ID:") && !line.starts_with("To:")) CheckWords(line);
    if (line.starts_with(' ')) continue;  // the rest of the one before
    Require(next < kNames.size() && line.starts_with(kNames[next]));
    ++next;
  }
  Require(next == kNames.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  auto parts = Split(input, '\x01');
  parts.resize(6);
  notification::Mail mail;
  mail.from = "yagura@example.com";
  mail.from_name = parts[0];
  mail.subject = parts[1];
  mail.message_id = parts[2].substr(0, 200);
  mail.x_headers = {{"X-Yagura", std::string(parts[3])}};
  mail.to = notification::IsMailAddress(parts[4]) ? std::string(parts[4]) : "soc@example.com";
  mail.date = TimePoint(std::chrono::seconds(1'800'000'000));
  mail.body = parts[5];
  CheckHeaders(LinesOf(notification::RenderMail(mail)));
  (void)notification::EncodeHeaderText(input);
  return 0;
}
