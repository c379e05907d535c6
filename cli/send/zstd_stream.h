#pragma once

#include <cstdint>
#include <istream>
#include <memory>
#include <string>

namespace yagura::cli {

// The text of a zstd file, one frame or several, as a stream. A damaged or cut file sets badbit
// where the damage is reached.
std::unique_ptr<std::istream> OpenZstd(const std::string& path);
// How large the text will be as its first frame says; 0 where it does not.
uint64_t ZstdTextSize(const std::string& path);

}  // namespace yagura::cli
