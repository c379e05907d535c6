#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/clock/clock.h"

// Mail as RFC 5322 wants it. Nothing that is put in can add a header or a line to one.
namespace yagura::notification {

struct Mail {
  std::string from;        // "yagura@example.com"
  std::string from_name;   // any text; may be empty
  std::string to;          // an address that IsMailAddress accepts
  std::string subject;     // any text
  std::string message_id;  // without angle brackets
  TimePoint date{};
  std::string body;                                            // UTF-8, lines ending in \n
  std::vector<std::pair<std::string, std::string>> x_headers;  // ASCII names; any text
};

// The whole message with CRLF, pure ASCII: UTF-8 in encoded words (RFC 2047) and quoted-printable.
std::string RenderMail(const Mail& mail);

// "local@domain" of printable ASCII without spaces, quotes, brackets, commas and the like, so that
// it can stand in a command and a header as it is; 3 to 254 bytes.
bool IsMailAddress(std::string_view text);

// RFC 2047, folded; printable ASCII stays as it is.
std::string EncodeHeaderText(std::string_view text);
// The name before an address: as it is where it is made of ASCII atoms, in quotes where ASCII needs
// them, else as EncodeHeaderText does it. Empty for what is only white space.
std::string EncodeDisplayName(std::string_view text);
// RFC 2045, with CRLF and soft breaks at 76 characters.
std::string QuotedPrintable(std::string_view text);

}  // namespace yagura::notification
