#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

// What may become of a file on a disk: the input says which bytes of it.
namespace yagura::fuzz {

// A folder of this process.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "yagura-fuzz-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::string ReadAll(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Edits of four bytes each: what, where (16 bits), and one more. Bytes are changed, put in, taken
// out, doubled, or cut off at the end.
inline std::string Damaged(std::string bytes, std::string_view edits) {
  for (; edits.size() >= 4; edits.remove_prefix(4)) {
    const auto at_byte = [&](size_t i) { return static_cast<unsigned char>(edits[i]); };
    const size_t at = (at_byte(1) << 8 | at_byte(2)) % (bytes.size() + 1);
    const char value = edits[3];
    const size_t count = at_byte(3);
    switch (at_byte(0) % 6) {
      case 0:
        if (at < bytes.size()) bytes[at] = value;
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ value);
        break;
      case 2:
        bytes.insert(at, 1, value);
        break;
      case 3:
        bytes.erase(at, count);
        break;
      case 4:
        if (bytes.size() < 1 << 16) bytes.insert(at, bytes.substr(at, count));
        break;
      default:
        bytes.resize(at);
        break;
    }
  }
  return bytes;
}

}  // namespace yagura::fuzz
