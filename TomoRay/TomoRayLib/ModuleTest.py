"""The module's self test: quick, offline, without torch; for the application and the harness."""

import numpy as np
import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from TomoRayCore.errors import InputError
from TomoRayCore.volume import Volume, canonical_grid
from TomoRayLib import MRMLBridge
from TomoRayLib.DrrOptions import DrrOptions
from TomoRayLib.PythonDependencies import missingPackages
from TomoRayLib.ReconstructionLogic import ReconstructionLogic
from TomoRayLib.SampleData import registerSampleData

ISOCENTRE_LPS = (12.0, -7.0, 31.0)


class ModuleTest(ScriptedLoadableModuleTest):
    """What must hold in every installation."""

    def setUp(self):
        """Start from an empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self, **_options):
        """Run all tests, as the panel's Reload and Test does."""
        for test in (
            self.test_volume_keeps_its_place,
            self.test_sample_data_is_registered,
            self.test_parameters_have_their_defaults,
            self.test_same_image_twice_is_refused,
            self.test_drrs_stand_at_their_detectors,
        ):
            self.setUp()
            test()
        self.delayDisplay("TomoRay: self test passed", 10)

    def test_volume_keeps_its_place(self):
        """A volume that goes into the scene and back is the same."""
        volume = self._headLikeVolume()
        node = MRMLBridge.nodeFromVolume(volume, "head")
        back = MRMLBridge.volumeFromNode(node)
        self.assertTrue(back.grid.same_as(volume.grid))
        np.testing.assert_array_equal(back.array_hu, volume.array_hu)

    def test_sample_data_is_registered(self):
        """The Sample Data module knows our data sets."""
        import SampleData

        registerSampleData()
        logic = SampleData.SampleDataLogic()
        self.assertIsNotNone(logic.sourceForSampleName("TomoRayPhantomCT"))
        self.assertIsNotNone(logic.sourceForSampleName("TomoRayPhantomRadiographs"))

    def test_parameters_have_their_defaults(self):
        """An empty scene gives the default geometry."""
        parameters = ReconstructionLogic().getParameterNode()
        self.assertEqual(parameters.preset, "cranial-biplanar")
        self.assertEqual((parameters.sadMm, parameters.sddMm), (1000.0, 1500.0))
        self.assertIsNone(parameters.syntheticCt)

    def test_same_image_twice_is_refused(self):
        """One image cannot be both views."""
        from TomoRayLib.ReconstructionPlan import ReconstructionPlan

        node = MRMLBridge.nodeFromVolume(self._headLikeVolume(), "both")
        with self.assertRaises(InputError):
            ReconstructionPlan(node, node).check()

    def test_drrs_stand_at_their_detectors(self):
        """The whole job runs: export, worker, import; the DRRs are centred behind the head."""
        if missingPackages(("SimpleITK", "scipy", "PIL")):
            self.delayDisplay("Packages are missing: the DRR test is left out", 10)
            return
        ct = MRMLBridge.nodeFromVolume(self._headLikeVolume(), "head")
        ap, lat = ReconstructionLogic().generateDrrs(ct, DrrOptions(pixels=32))
        for node, away in ((ap, 1), (lat, 0)):
            bounds = [0.0] * 6
            node.GetRASBounds(bounds)
            centre = [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]
            offset = np.abs(np.array(centre) - np.array([-12.0, 7.0, 31.0]))
            self.assertGreater(offset[away], 400)
            self.assertLess(np.delete(offset, away).max(), 120)

    def _headLikeVolume(self) -> Volume:
        """A thick bony shell around soft tissue, off the world's centre."""
        grid = canonical_grid(ISOCENTRE_LPS, (44, 40, 36), 5.0)
        k, j, i = np.meshgrid(*[np.linspace(-1, 1, n) for n in grid.shape], indexing="ij")
        radius = np.sqrt((k / 0.85) ** 2 + (j / 0.9) ** 2 + (i / 0.8) ** 2)
        array = np.full(grid.shape, -1000, np.int16)
        array[radius < 1.0] = 1000
        array[radius < 0.85] = 40
        return Volume(array, grid.ijk_to_lps)
