#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/config/settings_reader.h"
#include "common/rpc/app.h"

namespace yagura::rpc {

using MakeApp = std::function<absl::StatusOr<std::unique_ptr<App>>(const Platform&)>;

// A service's own part of main: reads its settings (the section of its name) and answers how to
// build the App from them. Called for --print-settings, too: it reads, and does nothing else.
using ReadSettings = std::function<absl::StatusOr<MakeApp>(config::SettingsReader&)>;

// Everything else of main: command line, settings file, platform, metrics, server, signals, stop.
// Ends with 0 after SIGTERM or SIGINT, 2 for a wrong command line or settings, 3 where it could not
// start.
int RunService(int argc, char** argv, std::string_view name, const ReadSettings& read);

// The same of the two functions that every service has:
//
//   int main(int argc, char** argv) {
//     return rpc::RunService(argc, argv, "ticketing", ticketing::ReadSettings, ticketing::NewApp);
//   }
template <typename Settings>
int RunService(int argc, char** argv, std::string_view name,
               absl::StatusOr<Settings> (*read)(config::SettingsReader&),
               absl::StatusOr<std::unique_ptr<App>> (*new_app)(const Settings&, const Platform&)) {
  return RunService(
      argc, argv, name, [read, new_app](config::SettingsReader& reader) -> absl::StatusOr<MakeApp> {
        auto settings = read(reader);
        if (!settings.ok()) return settings.status();
        return MakeApp([new_app, settings = *std::move(settings)](const Platform& platform) {
          return new_app(settings, platform);
        });
      });
}

}  // namespace yagura::rpc
