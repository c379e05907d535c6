#pragma once

#include <string>
#include <string_view>

// JSON as devices and applications write it, where a strict reader refuses it: bytes that are not
// UTF-8, escapes that are none, numbers beyond 64 bits, texts that were cut. Takes linear time.
namespace yagura::ingestion {

// What a JSON string says, from behind its opening quote to its closing one (or to the end).
// Escapes that are none stay as they stand, halves of surrogate pairs become U+FFFD; bytes that are
// not UTF-8 are kept.
std::string UnescapeJson(std::string_view text);

// The object that `text` begins with as a strict reader takes it, but for the escapes in its
// strings: bytes that are not UTF-8 become U+FFFD, control characters in strings escapes; what is
// open at the end is closed, what comes behind the object is left out. Empty: `text` begins with
// none.
std::string RepairJsonObject(std::string_view text);

}  // namespace yagura::ingestion
