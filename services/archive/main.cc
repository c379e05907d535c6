#include "common/rpc/run_service.h"
#include "services/archive/app.h"
#include "services/archive/settings.h"

int main(int argc, char** argv) {
  return yagura::rpc::RunService(
      argc, argv, "archive", [](yagura::config::SettingsReader& reader) -> yagura::rpc::MakeApp {
        return [settings =
                    yagura::archive::ReadSettings(reader)](const yagura::rpc::Platform& platform) {
          return yagura::archive::MakeApp(settings, platform);
        };
      });
}
