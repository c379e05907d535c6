#pragma once

#include <array>
#include <string>
#include <string_view>

namespace yagura::seal {

// 32 secret bytes, overwritten when they go.
class SecretKey {
 public:
  static constexpr size_t kBytes = 32;

  static SecretKey Random();
  // `bytes` must be 32 long.
  static SecretKey FromBytes(std::string_view bytes);
  SecretKey(const SecretKey&) = default;
  SecretKey& operator=(const SecretKey&) = default;
  ~SecretKey();

  const unsigned char* data() const { return bytes_.data(); }
  std::string_view view() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }

 private:
  SecretKey() = default;
  std::array<unsigned char, kBytes> bytes_{};
};

// Overwrites the text's bytes and empties it: for passwords and opened secrets after use.
void Wipe(std::string& text);

}  // namespace yagura::seal
